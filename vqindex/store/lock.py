"""The lock of a folder's one writer: the operating system's, so a dead process holds none."""

import os
import sys
import weakref
from pathlib import Path
from typing import final

from vqindex.errors import StoreError, StoreLockedError


@final
class FolderLock:
    """Held from when it is made until it is closed or the process ends.

    The file stays where it is, and says who wrote last. StoreLockedError where another holds it,
    StoreError where the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "lock"
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StoreError(
                f"{folder} cannot be written to ({error.strerror}); open it with read_only=True."
            ) from error
        try:
            _lock(self._file)
        except OSError:
            holder = os.read(self._file, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise StoreLockedError(
                f"{folder} is open for writing already, by process {holder}; close it there, or "
                "open it here with read_only=True."
            ) from None
        try:
            os.ftruncate(self._file, 0)
            os.write(self._file, f"{os.getpid()}\n".encode())
        except OSError:
            pass  # a full disk: what it says is for people alone
        self._closed = weakref.finalize(self, os.close, self._file)

    def close(self) -> None:
        """Let others write, as when this is forgotten; in a forked child it stays its parent's."""
        self._closed()


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:  # of a byte far away: one that is locked cannot be read
        os.lseek(file, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(file, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
