"""Indexes and files: load, inspect, verify. An index saves itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vqindex import container, factory
from vqindex.container.reading import Verify
from vqindex.errors import CorruptFileError
from vqindex.indexes import state
from vqindex.indexes.base import Index
from vqindex.indexes.recipe import IndexRecipe

Path = str | os.PathLike[str]


def load(path: Path, mmap: bool = False, verify: Verify = "full") -> Index:
    """The index that was saved to a file.

    mmap     leave codes in the file and read them as they are needed; the index cannot change
    verify   "full" checks every byte, "header" what describes them, "none" only what safety needs
    Raises CorruptFileError, FormatVersionError or OSError.
    """
    contents = container.read(path, mmap=mmap, verify=verify)
    with _naming(path):
        recipe = _recipe(contents)
        return factory.kind_of(recipe).restore(recipe, contents, writable=not mmap)


def _recipe(contents: container.Contents) -> IndexRecipe:
    about = state.describe(contents.metadata)
    try:
        return factory.parse_index(about["spec"], about["metric"], about["seed"])
    except (TypeError, ValueError) as error:
        raise CorruptFileError(f"an index of no known kind: {error}") from error


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except CorruptFileError as error:
        error.args = (f"{os.fspath(path)}: {error}",)
        raise


def inspect(path: Path) -> dict[str, Any]:
    """What a file says of its index, without reading its codes."""
    summary = container.inspect(path)
    with _naming(path):
        about = state.describe(summary["metadata"])
    return {
        "path": os.fspath(path),
        "version": summary["version"],
        "created_by": summary["created_by"],
        **about,
        "file_bytes": summary["file_bytes"],
        "tensors": summary["tensors"],
    }


def verify(path: Path) -> None:
    """Check every byte of a file and that it makes an index; CorruptFileError otherwise."""
    container.verify(path)
    load(path, mmap=True, verify="none")
