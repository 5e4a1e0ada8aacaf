"""Documents as users give them, checked and turned into what a database holds.

metadata  JSON text, compact, in UTF-8; values keep their JSON types
vector    the numbers as given: float32 where that loses nothing, else float64; float16 by choice
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from vqindex import arrays
from vqindex.errors import DocumentError, DtypeError, NonFiniteError, ShapeError
from vqindex.quantizers.originals import to_half

DEEPEST = 100  # levels of metadata; parsers have limits, some of them the stack's
LARGEST = 1e15  # of a vector's norm: its square is to fit a float32, and sums of a few
_WIDTHS: dict[int, np.dtype[Any]] = {2: np.dtype("<f2"), 4: np.dtype("<f4"), 8: np.dtype("<f8")}
_NUMBERS = re.compile(r"[:,\[]-?(\d[\d.]{15,}|\d[\d.]*[eE])")
_STRINGS = re.compile(r'"[^"\\]*+((?:\\.[^"\\]*+)*+)":?+')  # with the first escape and the rest


_SIMPLE = frozenset({str, int, float, bool, type(None)})
_TEXTS, _KEYS = frozenset({str, type(None)}), frozenset({str})
_SURROGATES = re.compile("[\ud800-\udfff]")
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_encode_lines = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",\n", ":")
).encode


@final
@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """What a store holds under an id.

    text      any string, or None
    metadata  a dict of JSON values
    vector    (d,) float32, or float64 or float16 where those are kept; None where there is none
    """

    id: str
    text: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    vector: NDArray[Any] | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Document):
            return NotImplemented
        mine, theirs = self.vector, other.vector
        if (mine is None) != (theirs is None):
            return False
        same = (self.id, self.text, self.metadata) == (other.id, other.text, other.metadata)
        return same and (mine is None or np.array_equal(mine, theirs))  # type: ignore[arg-type]

    __hash__ = None  # type: ignore[assignment]


@final
@dataclass(frozen=True, slots=True)
class Hit:
    """A document that a search found.

    score     larger is nearer: the cosine, the inner product, or minus the square distance
    distance  smaller is nearer: 1 - cosine, minus the inner product, or the square distance
    """

    document: Document
    score: float
    distance: float


@final
@dataclass(frozen=True)
class Batch:
    """Documents of one call, as they are to be written; lists of one length."""

    ids: list[str]
    texts: list[str | None]
    metadata: list[Mapping[str, Any]]
    encoded: list[str]  # the metadata as JSON
    odd: list[bool]
    vectors: list[bytes | None]
    dim: int | None

    def __len__(self) -> int:
        return len(self.ids)


def batch(ids: Any, texts: Any, metadata: Any, vectors: Any, *, half: bool) -> Batch:
    """What a user gave, checked; DocumentError, ShapeError, DtypeError or NonFiniteError."""
    names = _strings(ids, "ids")
    n = len(names)
    words: list[str | None] = [None] * n
    if texts is not None:
        words = _texts(_sized(texts, n, "texts"), "texts", "a string or None")
    given = [{}] * n if metadata is None else _sized(metadata, n, "metadata")
    about = [{} if one is None else one for one in given]
    encoded = _flat_json(about)
    if encoded is None:
        encoded = [_json(one, f"metadata[{i}]") for i, one in enumerate(about)]
    _texts(encoded, "metadata", "JSON")
    odd = [is_odd(text) for text in encoded] if is_odd("\n".join(encoded)) else [False] * n
    blobs, dim = _blobs(vectors, n, half)
    return Batch(names, words, about, encoded, odd, blobs, dim)


def id_list(ids: Any) -> list[str]:
    """Ids to look up: a string, or several."""
    return [ids] if isinstance(ids, str) else _strings(ids, "ids")


def _strings(values: Any, name: str) -> list[str]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise DtypeError(f"{name} must be a list of strings, got {values!r}.")
    several = list(values)
    if None in several:
        raise DtypeError(f"{name}[{several.index(None)}] must be a string, got None.")
    return _texts(several, name, "a string; str() makes one")


def _sized(values: Any, n: int, name: str) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise DtypeError(f"{name} must be a list, one for each id, got {type(values).__name__}.")
    several = list(values)
    if len(several) != n:
        raise ShapeError(f"{name} must be as many as ids, {n}, got {len(several)}.")
    return several


def _texts(values: list[Any], name: str, wanted: str) -> list[Any]:
    """The same strings or None, of which UTF-8 has a form: checked together, which is fast."""
    for i in range(len(values)) if not _TEXTS.issuperset(map(type, values)) else ():
        if not isinstance(values[i], str | None):
            raise DtypeError(f"{name}[{i}] must be {wanted}, got {values[i]!r}.")
    try:
        "".join(value for value in values if value).encode()
    except UnicodeEncodeError:
        at = next(i for i, value in enumerate(values) if value and _SURROGATES.search(value))
        raise DocumentError(f"{name}[{at}] has no form in UTF-8: a lone surrogate.") from None
    return values


def _flat_json(several: list[Any]) -> list[str] | None:
    """All as JSON in one go, which takes a third of the time, if they are dicts of no others.

    No string of JSON has a line's end in it, so it stands only where parts meet.
    """
    if not several:
        return []
    for one in several:
        flat = type(one) is dict and _KEYS.issuperset(map(type, one))
        if not (flat and _SIMPLE.issuperset(map(type, one.values()))):
            return None
    try:
        lines = _encode_lines(several)
    except ValueError:
        return None  # which it is, they say one by one
    return ["{" + one.replace(",\n", ",") + "}" for one in lines[2:-2].split("},\n{")]


def _json(value: Any, name: str) -> str:
    if not isinstance(value, Mapping):
        raise DtypeError(f"{name} must be a dict or None, got {value!r}.")
    try:
        return _encode(_plain(value, name, 0))
    except ValueError as error:  # NaN, infinity, or an integer of thousands of digits
        raise DocumentError(f"{name} has no form in JSON: {error}.") from None


def _plain(value: Any, name: str, depth: int) -> Any:
    """The same value made of JSON's own types alone."""
    if depth > DEEPEST:
        raise DocumentError(f"{name} must be nested at most {DEEPEST} deep.")
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DocumentError(f"{name} must be finite, got {value}: JSON has no such number.")
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise DocumentError(f"{name} must have strings as keys, got {key!r}.")
        return {key: _plain(part, f"{name}[{key!r}]", depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part, f"{name}[{i}]", depth + 1) for i, part in enumerate(value)]
    raise DocumentError(
        f"{name} must be of JSON's types (dict, list, str, int, float, bool, None), got {value!r}."
    )


def loads(text: str) -> Any:
    """What JSON text says."""
    return json.loads(text)


def is_odd(text: str) -> bool:
    """Whether JSON text may hold what SQLite reads otherwise than Python does.

    A zero character, an escape in a key, an integer beyond 64 bits, a number with an exponent or
    of more digits than are exact. Text without any of these is never odd; some with none may be.
    """
    if "\\" in text and ("\\u0000" in text or _has_escaped_key(text)):
        return True
    numbers = _NUMBERS.findall(text)
    return any(not one.isdecimal() or len(one) > 19 or int(one) >= 2**63 for one in numbers)


def _has_escaped_key(text: str) -> bool:
    return any(one[1] and one[0].endswith(":") for one in _STRINGS.finditer(text))


def _blobs(vectors: Any, n: int, half: bool) -> tuple[list[bytes | None], int | None]:
    """Each vector's bytes, None for each that is missing, and the dimension if there is any."""
    if vectors is None:
        return [None] * n, None
    there = list(range(n))
    if isinstance(vectors, Sequence) and any(vector is None for vector in vectors):
        several = _sized(vectors, n, "vectors")
        there = [i for i, vector in enumerate(several) if vector is not None]
        vectors = [several[i] for i in there]
    if not there and len(vectors) == 0:
        return [None] * n, None
    gate = arrays.vectors(vectors)
    if gate.n != len(there):
        raise ShapeError(f"vectors must be as many as ids, {n}, got {gate.n}.")
    blobs: list[bytes | None] = [None] * n
    for at, blob in zip(there, _rows(gate.chunk(0, gate.n), vectors, half), strict=True):
        blobs[at] = blob
    return blobs, gate.dim


def _rows(singles: NDArray[np.float32], given: Any, half: bool) -> list[bytes]:
    """Rows (n, d), already checked, in the fewest bytes that lose nothing, or in float16."""
    largest = np.abs(singles).max(initial=0) * math.sqrt(singles.shape[1])
    norms = np.linalg.norm(singles.astype(np.float64), axis=1) if largest > LARGEST else None
    if norms is not None and (norms > LARGEST).any():
        at = int(np.argmax(norms > LARGEST))
        raise NonFiniteError(f"vectors[{at}] has norm {norms[at]:.3g}; at most 1e15 can be kept.")
    if half:
        return [row.tobytes() for row in to_half(singles)]
    whole = np.asarray(given)
    rows = [row.tobytes() for row in singles]
    if whole.dtype.kind == "f" and whole.dtype.itemsize <= 4:
        return rows
    doubles = whole.astype(np.float64)
    for i in np.flatnonzero((doubles != singles).any(axis=1)).tolist():
        rows[i] = doubles[i].tobytes()
    return rows


def vector(blob: bytes, dim: int) -> NDArray[Any]:
    """The vector that some bytes are, (dim,)."""
    return np.frombuffer(blob, _WIDTHS[len(blob) // dim])


def matrix(blobs: Sequence[bytes], dim: int, dtype: type = np.float32) -> NDArray[Any]:
    """The vectors that some bytes are, (n, dim) of a type."""
    widths = set(map(len, blobs))
    if len(widths) == 1:
        kind = _WIDTHS[widths.pop() // dim]
        return np.frombuffer(b"".join(blobs), kind).reshape(-1, dim).astype(dtype, copy=False)
    out: NDArray[Any] = np.empty((len(blobs), dim), dtype)
    for i, blob in enumerate(blobs):
        out[i] = vector(blob, dim)
    return out
