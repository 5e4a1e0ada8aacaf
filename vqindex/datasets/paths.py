"""Where data lies: what travels with the library, and the user's own folder."""

import os
from pathlib import Path

from vqindex.folders import cache_home


def shipped(name: str) -> Path:
    """The path of a file or folder that travels with the library.

    A wheel carries them in `vqindex/_data`; in a clone they are the top-level `datasets`.
    """
    package = Path(__file__).resolve().parents[1]
    places = (package / "_data" / name, package.parent / "datasets" / name)
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(
        f"{name} must lie at one of {', '.join(map(str, places))}; reinstall vqindex"
    )


def data_folder() -> Path:
    """The folder of downloaded sets and computed truth, which need not exist.

    `VQINDEX_DATA` names it; else it is `vqindex/datasets` in the user's cache folder.
    """
    chosen = os.environ.get("VQINDEX_DATA")
    if chosen:
        return Path(chosen).expanduser()
    return cache_home() / "datasets"
