"""Where on this system a user's caches lie."""

import os
import sys
from pathlib import Path


def cache_home() -> Path:
    """The library's own folder among the user's caches, which need not exist."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "vqindex"
