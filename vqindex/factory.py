"""Factory strings to recipes and back.

    [transform,][IVF<nlist>,][Coarse<k>[x<k>],]codec[+QJL<bits>][,Rerank(<codec>)][,Keep(f32|f16)]

    transform   None Haar Hadamard Calibrated PCA LeanVec<k> OPQ<m>x<4|8>
    codec       F32 F16 SQ8 EDEN<b> TQ<b> TQprod<b> QJL<m> SAQ<b>
                RaBitQ<b> LVQ<b> LVQ<b>x<b> PQ<m>x<4|8> OPQ<m>x<4|8> RQ<m>x<4|8>
                VQ2 VQ4 Ternary Levels5 Levels11 OCT<b> TCQ<b> PVQ<b> Polar NUQ<b>

Coarse codes are taken off rows before the transform, which fits what they leave, as do lists; they
stand where lists do.

A part takes options in brackets: `EDEN4(center=no)`, `IVF1024(spill=1)`. QJL without a
number has a bit for each dimension, and `TQprod<b>` is `TQ<b - 1>+QJL`. The `spec` of an index
makes such an index again.
"""

import re
from typing import Any

from vqindex import arrays
from vqindex.errors import SpecError
from vqindex.indexes.base import Index
from vqindex.indexes.flat import FlatIndex
from vqindex.indexes.ivf import IVFIndex
from vqindex.indexes.recipe import IndexRecipe, InvertedFile
from vqindex.quantizers import QUANTIZERS, Coarse, Quantizer
from vqindex.recipe import Recipe
from vqindex.sketches import QJL
from vqindex.transforms import TRANSFORMS, default_transform
from vqindex.transforms.base import Number

_KINDS: tuple[Any, ...] = (*QUANTIZERS, QJL)
CODECS = {name: kind for kind in _KINDS for name in kind.names}
_OTHERS = (*Coarse.names, "TQprod", "Keep", "IVF")
_NAMES = sorted([*CODECS, *TRANSFORMS, *_OTHERS], key=len, reverse=True)
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,6}|(?:x[0-9]{1,9})+)?"
_PART = re.compile(rf"({'|'.join(_NAMES)})({_NUMBER})?(?:\(([^()]*)\))?")

GRAMMAR = (
    "[transform,][IVF<nlist>,][Coarse<k>,]codec[+QJL<bits>][,Rerank(codec)][,Keep(f32|f16)]; "
    f"transforms: {', '.join(TRANSFORMS)}; "
    f"codecs: {', '.join([*CODECS, 'TQprod'])}, such as EDEN4 or Haar,TQ2+QJL"
)


def index_factory(spec: str, metric: str = "cosine", seed: int = 0) -> Index:
    """An empty index from a factory string; see the module for the grammar.

    metric   "l2" (squared Euclidean distance), "ip" (inner product) or "cosine"
    seed     of everything random
    Raises SpecError, naming what is known.
    """
    return index_of(parse_index(spec, metric, seed))


def index_of(recipe: IndexRecipe) -> Index:
    """An empty index of a recipe."""
    return kind_of(recipe).of(recipe)


def kind_of(recipe: IndexRecipe) -> type[Index]:
    """What index a recipe is for."""
    return FlatIndex if recipe.lists is None else IVFIndex


def parse_index(spec: str, metric: str, seed: int) -> IndexRecipe:
    """The recipe of a factory string."""
    parts = _parts(spec)
    keep = _keep(parts.pop(), spec) if parts[-1].startswith("Keep") else None
    rerank = _rerank(parts.pop(), spec) if parts[-1:] and parts[-1].startswith("Rerank") else None
    lists = None
    at = 1 if len(parts) > 2 and _is_transform(parts[0], spec) else 0
    if at + 1 < len(parts) and parts[at].startswith("IVF"):
        lists = _lists(parts.pop(at), spec)
        if at + 1 < len(parts) and _is_transform(parts[at], spec):
            raise _unknown(spec)
    return IndexRecipe(_recipe(parts, keep, spec, metric, seed), lists, rerank)


def parse(spec: str, metric: str, seed: int) -> Recipe:
    """The recipe of a codec: a factory string of a transform, a codec and what is kept, no more."""
    parts = _parts(spec)
    keep = _keep(parts.pop(), spec) if parts[-1].startswith("Keep") else None
    return _recipe(parts, keep, spec, metric, seed)


def _parts(spec: str) -> list[str]:
    if not isinstance(spec, str):
        raise SpecError(f"an index spec must be a string, got {spec!r}.")
    return [part.strip() for part in re.split(r",(?![^()]*\))", spec)]


def _recipe(parts: list[str], keep: str | None, spec: str, metric: str, seed: int) -> Recipe:
    transform = coarse = None
    if len(parts) > 1 and _is_transform(parts[0], spec):
        name, number, options = _match(parts.pop(0), spec)
        transform = TRANSFORMS[name].from_spec(name, number, options)
    if len(parts) > 1 and _match(parts[0], spec)[0] in Coarse.names:
        coarse = _made(Coarse, *_match(parts.pop(0), spec))
    if len(parts) != 1:
        raise _unknown(spec)
    quantizer, sketch = _codec(parts[0], spec)
    if transform is None:
        transform = default_transform(quantizer.rotation)
    return Recipe(
        arrays.metric(metric), transform, quantizer, sketch, keep, arrays.seed(seed), coarse
    )


def _is_transform(part: str, spec: str) -> bool:
    return _match(part, spec)[0] in TRANSFORMS


def _lists(part: str, spec: str) -> InvertedFile:
    name, number, options = _match(part, spec)
    if name != "IVF" or not (number is None or isinstance(number, int)):
        raise SpecError(f"IVF takes a number of lists or none, got {part!r} in {spec!r}.")
    lists: InvertedFile = _made(InvertedFile, name, number, options)
    return lists


def _rerank(part: str, spec: str) -> Quantizer:
    found = re.fullmatch(r"Rerank\((.+)\)", part)
    if found is None:
        raise SpecError(f"Rerank takes a codec, such as Rerank(f16), got {part!r} in {spec!r}.")
    inside = found[1].strip()
    quantizer, sketch = _codec(inside.upper() if inside in ("f32", "f16") else inside, spec)
    if sketch is not None:
        raise SpecError(f"Rerank takes a codec without a sketch, got {part!r} in {spec!r}.")
    return quantizer


def _unknown(spec: str) -> SpecError:
    return SpecError(f"unknown index spec {spec!r}; needed: {GRAMMAR}.")


def _match(part: str, spec: str) -> tuple[str, Number, dict[str, Any]]:
    found = _PART.fullmatch(part)
    if found is None:
        raise _unknown(spec)
    name, number, inside = found.groups()
    options = {}
    for item in filter(None, (inside or "").split(",")):
        key, equals, value = (text.strip() for text in item.partition("="))
        if not equals or key in options:
            raise SpecError(f"options are written name=value, once each; got {item!r} in {spec!r}.")
        options[key] = {"yes": True, "no": False}.get(value, value)
    return name, _number(number), options


def _number(text: str | None) -> Number:
    if text is None:
        return None
    if "x" in text:
        return tuple(map(int, text.split("x")))
    return float(text) if "." in text else int(text)


def _made(kind: Any, name: str, number: Number, options: dict[str, Any]) -> Any:
    for key in options:
        if key not in kind.options:
            known = ", ".join(kind.options) or "none"
            raise SpecError(f"{name} has no option {key!r}; it has {known}.")
    return kind.from_spec(name, number, options)


def _codec(part: str, spec: str) -> tuple[Quantizer, QJL | None]:
    first, plus, second = part.partition("+")
    name, number, options = _match(first, spec)
    sketch = None
    if name == "TQprod":
        if not isinstance(number, int) or number < 2 or plus or options:
            raise SpecError(f"TQprod takes 2 to 9 bits and nothing else, got {part!r}.")
        name, number, sketch = "TQ", number - 1, QJL()
    if name not in CODECS:
        raise _unknown(spec)
    quantizer: Quantizer = _made(CODECS[name], name, number, options)
    if plus:
        name, number, options = _match(second, spec)
        if name != "QJL":
            raise _unknown(spec)
        sketch = _made(QJL, name, number, options)
    return quantizer, sketch


def _keep(part: str, spec: str) -> str:
    for kind in ("f32", "f16"):
        if part.replace(" ", "") == f"Keep({kind})":
            return kind
    raise SpecError(f"Keep takes f32 or f16, got {part!r} in {spec!r}.")
