"""FlatIndex: every row is a candidate for every query."""

from typing import Any, ClassVar, final

from vqindex import arrays
from vqindex.indexes.base import Index, check_keep, check_recipes
from vqindex.indexes.recipe import IndexRecipe
from vqindex.indexes.scan import Scan
from vqindex.quantizers.base import Quantizer
from vqindex.quantizers.coarse import Coarse
from vqindex.quantizers.lloyd_max import LloydMax
from vqindex.recipe import Recipe
from vqindex.sketches.qjl import QJL
from vqindex.transforms import default_transform
from vqindex.transforms.base import Transform


@final
class FlatIndex(Index):
    """An exhaustive index over quantized codes.

    metric      "l2" (squared Euclidean distance), "ip" (inner product) or "cosine"
    transform   a rotation or other map before coding; the quantizer's own choice if None
    quantizer   the recipe of the codes, LloydMax(bits=4) unless given
    sketch      a residual sketch, QJL(bits), scored as one more term
    coarse      centroids from which rows are coded, Coarse((256,))
    keep        "f32" or "f16" keeps the originals beside the codes, for `reconstruct`
    rerank      the recipe of finer codes, by which the best rows are scored again
    seed        of everything random
    """

    _names: ClassVar[tuple[str, ...]] = ("eps0", "stages")
    _kind: ClassVar[type[Scan]] = Scan

    def __init__(
        self,
        *,
        metric: str = "cosine",
        transform: Transform | None = None,
        quantizer: Quantizer | None = None,
        sketch: QJL | None = None,
        keep: str | None = None,
        rerank: Quantizer | None = None,
        seed: int = 0,
        coarse: Coarse | None = None,
    ) -> None:
        super().__init__(
            recipe(metric, transform, quantizer, sketch, keep, seed, coarse, rerank=rerank)
        )


def recipe(
    metric: str, transform: Any, quantizer: Any, sketch: Any, keep: Any, seed: int,
    coarse: Any = None, **parts: Any,
) -> IndexRecipe:  # fmt: skip
    """The recipe of an index from what its maker was given, checked."""
    quantizer = LloydMax() if quantizer is None else quantizer
    check_recipes(
        transform=transform, quantizer=quantizer, sketch=sketch, coarse=coarse,
        rerank=parts.get("rerank"),
    )  # fmt: skip
    check_keep(keep)
    codec = Recipe(
        arrays.metric(metric),
        default_transform(quantizer.rotation) if transform is None else transform,
        quantizer,
        sketch,
        keep,
        arrays.seed(seed),
        coarse,
    )
    return IndexRecipe(codec, **parts)
