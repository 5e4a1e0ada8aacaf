"""What a file holds of an index: its recipe as text, its model and its columns as arrays.

    model.<name>   what the codec learned, or drew at random
    codes.<name>   a column's blocks, (groups, width, interleave)
    once.<name>    likewise, of what rows in several lists have but once

Everything read is held against what the recipe says before a kernel may see an address of it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from vqindex import container
from vqindex.codes import Codes
from vqindex.errors import CorruptFileError
from vqindex.indexes.lists import Lists
from vqindex.indexes.model import Model, part
from vqindex.indexes.recipe import IndexRecipe
from vqindex.indexes.rows import Rows
from vqindex.kernels.cpu.program import BLOCK
from vqindex.layouts.base import Array, Column

T = TypeVar("T")


def dump(
    recipe: IndexRecipe, rows: Rows | None, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The arrays and the text of an index."""
    about: dict[str, Any] = {
        "spec": recipe.spec, "metric": recipe.codec.metric, "seed": recipe.codec.seed,
        "settings": settings,
        "n": 0, "dim": None, "fitted": False, "next_id": 0,
    }  # fmt: skip
    arrays: dict[str, Any] = {}
    if rows is not None:
        about |= {
            "n": rows.n, "dim": rows.dim, "fitted": rows.fitted,
            "next_id": rows.ids.next_id,
        }  # fmt: skip
        arrays |= rows.model.arrays()
        if rows.lists is not None:
            arrays |= {f"lists.{name}": array for name, array in rows.lists.arrays().items()}
        for start, codes in {"codes.": rows.codes, "once.": rows.once or Codes(())}.items():
            for column in codes.columns:
                shape, parts = column.groups(codes.nblocks), codes.chunks(column.name)
                arrays[start + column.name] = container.Chunks(column.dtype, shape, parts)
    return arrays, {"index": json.dumps(about, sort_keys=True)}


def describe(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The text of an index, its types checked."""
    try:
        about = json.loads(metadata["index"])
        wanted = {
            "spec": str, "metric": str, "seed": int, "settings": dict, "n": int,
            "dim": int | None, "fitted": bool, "next_id": int,
        }  # fmt: skip
        fits = all(
            isinstance(about[name], kind) and (kind is bool or not isinstance(about[name], bool))
            for name, kind in wanted.items()
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CorruptFileError("the file does not describe an index.") from error
    rowless = about.get("dim") is None
    if not fits or about["n"] < 0 or (about["n"] > 0 if rowless else about["dim"] < 1):
        raise CorruptFileError("the file's description of its index makes no sense.")
    return dict(about)


def restore(
    recipe: IndexRecipe, contents: container.Contents, writable: bool
) -> tuple[Rows | None, dict[str, Any]]:
    """The rows and the settings of a file that fits the recipe, else CorruptFileError."""
    about = describe(contents.metadata)
    if about["dim"] is None:
        return None, about["settings"]
    fitted, n, dim = about["fitted"], about["n"], about["dim"]
    if not fitted and n >= recipe.sample_size:
        raise CorruptFileError(f"an index of {n} rows must be fitted, and is not.")
    model = _model(recipe if fitted else recipe.waiting, dim, contents.arrays)
    lists, own = None, part(contents.arrays, "lists.")
    if model.centroids is not None:
        lists = Lists.restore(own, model.centroids.lists)
        if lists.n != n * model.copies:
            raise CorruptFileError(f"an index of {n} rows has lists of {lists.n}.")
    _same_names(own, lists.arrays() if lists else (), "arrays of lists")
    slots = n if lists is None else lists.blocks * BLOCK
    codes = _codes(model.columns, part(contents.arrays, "codes."), slots, writable)
    alone = part(contents.arrays, "once.")
    once = _codes(model.once, alone, n, writable) if model.once or alone else None
    return Rows.restore(recipe, dim, fitted, model, codes, lists, once, about["next_id"]), about[
        "settings"
    ]


def _codes(columns: Sequence[Column], arrays: Mapping[str, Array], n: int, writable: bool) -> Codes:
    """The codes of n rows that a file holds."""
    _same_names(arrays, (column.name for column in columns), "columns")
    for column in columns:
        array, shape = arrays[column.name], column.groups(-(-n // BLOCK))
        if array.dtype != column.dtype or array.shape != shape:
            raise CorruptFileError(
                f"column {column.name} must be {column.dtype} {shape}, "
                f"got {array.dtype} {array.shape}."
            )
    return Codes.adopt(columns, n, arrays, writable)


def _model(recipe: IndexRecipe, dim: int, arrays: Mapping[str, Array]) -> Model:
    with _as_corrupt("the model does not fit the index's spec"):
        model = Model.restore(recipe, dim, arrays)
    own = [name for name in arrays if not name.startswith(("codes.", "lists.", "once."))]
    _same_names(own, model.arrays(), "arrays of a model")
    return model


def _same_names(given: Iterable[str], needed: Iterable[str], what: str) -> None:
    given, needed = sorted(given), sorted(needed)
    if given != needed:
        raise CorruptFileError(f"the {what} must be {needed}, got {given}.")


def checked_settings(settings: Mapping[str, Any], check: Callable[[Mapping[str, Any]], T]) -> T:
    """Settings as the index takes them, else CorruptFileError."""
    with _as_corrupt("the file's search settings are not this index's"):
        return check(settings)


class _as_corrupt:
    """Errors of making something from a file's contents become CorruptFileError."""

    def __init__(self, message: str) -> None:
        self._message = message

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, KeyError | TypeError | ValueError) and not isinstance(
            error, CorruptFileError
        ):
            raise CorruptFileError(f"{self._message}: {error}.") from error
