"""The CUDA C++ sources, each as one text that needs no other file."""

import functools
import re
from pathlib import Path

from vqindex.errors import BackendError

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([\w.]+)"[^\n]*\n?', re.MULTILINE)


def folder() -> Path:
    """Where the sources lie: `vqindex/_cuda` in a wheel, the top-level `cuda` in a clone."""
    package = Path(__file__).resolve().parents[2]
    places = package / "_cuda", package.parent / "cuda"
    for place in places:
        if (place / "README.md").exists():
            return place
    raise BackendError(
        f"the CUDA sources must lie in {places[0]} or {places[1]}; reinstall vqindex."
    )


@functools.cache
def text(stem: str) -> str:
    """The source `<stem>.cu`, with what it includes pasted in, each header once."""
    seen: set[str] = set()

    def paste(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        whole = (folder() / name).read_text("utf-8")
        return _INCLUDE.sub(lambda match: paste(match[1]), whole)

    return paste(f"{stem}.cu")
