"""Files from the network, resumed where they were cut off."""

import hashlib
import http.client
import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from vqindex.errors import CorruptFileError

_CHUNK = 1 << 20
_AGENT = "vqindex"  # ann-benchmarks.com turns Python's own name away


def fetch(url: str, target: Path, *, sha256: str | None = None, progress: bool = False) -> None:
    """Download `url` to `target`, which appears only once it is whole.

    Bytes gather in `<target>.part`; the next call goes on from there if the server can. With
    `progress` a line on stderr counts them. Raises OSError where the network or the disk fails,
    and CorruptFileError, after deleting what came, where the hash differs.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        with _ask(url, part) as response:
            _receive(response, part, target.name if progress else None)
    except (OSError, http.client.HTTPException) as error:
        raise OSError(f"{url} was not downloaded to {target}: {error}") from error
    if sha256 is not None:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            part.unlink()
            raise CorruptFileError(f"{url} must have SHA-256 {sha256}, got {found}; try again")
    os.replace(part, target)


def _ask(url: str, part: Path) -> Any:
    """Request what `part` lacks and its last byte again: so a whole part is no error."""
    headers = {"User-Agent": _AGENT}
    have = part.stat().st_size if part.exists() else 0
    if have:
        headers["Range"] = f"bytes={have - 1}-"
    try:
        return urlopen(Request(url, headers=headers), timeout=60)
    except HTTPError as error:
        error.close()
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
    part.unlink()  # longer than what the server has: another file
    return _ask(url, part)


def _receive(response: Any, part: Path, name: str | None) -> None:
    """Write the answer into its place in `part`; raise OSError unless that makes it whole.

    Nothing is cut off `part` before the end, so two downloads at once write the same bytes.
    """
    start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    done = int(start[1]) if start else 0
    length = response.headers.get("Content-Length")
    total = done + int(length) if length else None
    with part.open("r+b" if part.exists() else "wb") as file:
        file.seek(done)
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            done += len(chunk)
            if name is not None:
                whole = "?" if total is None else total >> 20
                print(f"\r{name}: {done >> 20} of {whole} MiB", end="", file=sys.stderr)
        if name is not None:
            print(file=sys.stderr)
        if total is not None and done != total:
            raise OSError(f"cut off after {done} of {total} bytes; call again to go on")
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
