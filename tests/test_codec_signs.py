"""What signs tell of a score, and how far it is from that."""

import math

import numpy as np
import pytest

from tests.test_codec import normal, scored
from vqindex.codec import MOST_NOISE
from vqindex.factory import parse
from vqindex.kernels.cpu import program
from vqindex.quantizers.levels import scalar_levels, uniform_levels

DIM = 768
D = {bits: scalar_levels(bits, DIM).distortion for bits in (2, 4)}


@pytest.mark.parametrize(
    ("signs", "exact", "which"),
    [
        (1, True, ["EDEN1", "TQ1", "QJL", "QJL9", "RaBitQ1"]),  # signs are the score
        (2, True, ["EDEN1+QJL", "TQprod2", "QJL+QJL"]),
        (2, True, ["LVQ1", "Hadamard,LVQ1"]),  # ... with an offset
        (3, True, ["LVQ1+QJL", "LVQ1x1"]),
        (1, False, ["EDEN2", "EDEN8", "TQ4", "EDEN2+QJL", "EDEN4+QJL8"]),  # they bound it
        (1, False, ["RaBitQ2", "RaBitQ8", "RaBitQ4+QJL8"]),
        (2, False, ["EDEN2+QJL30", "TQ2+QJL9"]),  # ... with those of a sketch that adds much
        (0, True, ["F32", "F16", "SQ8", "SQ8+QJL"]),  # there are none
        (0, True, ["LVQ2", "LVQ4x4", "Hadamard,LVQ4", "LVQ1x4"]),  # not all of a row is there
        (0, True, ["None,EDEN2", "None,TQ4+QJL"]),  # what they leave out is not random
    ],
)
def test_what_signs_say(signs, exact, which):
    for spec in which:
        codec = parse(spec, "l2", 0).fit(normal(9, 64), 64)
        names = [column.name for column in codec.columns]
        scorer = codec.scorer
        assert scorer.signs == signs
        assert (scorer.error == 0) == exact
        assert names[scorer.bias] == "bias"
        assert scorer.ratio == (names.index("ratio") if "ratio" in names else program.NONE)
        assert scorer.rated == len(scorer.fields) - (codec.sketch is not None)
        assert parse(spec, "ip", 0).fit(normal(9, 64), 64).scorer.bias == program.NONE


@pytest.mark.parametrize("spec", ["EDEN2", "EDEN4", "TQ2", "EDEN2+QJL30"])
def test_too_few_signs_bound_nothing(spec):
    assert parse(spec, "ip", 0).fit(normal(9, 63), 63).scorer.signs == 0
    assert parse(spec, "ip", 0).fit(normal(9, 64), 64).scorer.signs > 0


@pytest.mark.parametrize("spec", ["EDEN2", "EDEN3", "TQ2"])
def test_bits_of_a_sketch_that_signs_bear(spec):
    """As many as leave its variance, for a residual |e|^2, MOST_NOISE of that of signs alone."""
    d = scalar_levels(int(spec[-1]), 64).distortion
    residual = d if spec == "TQ2" else d / (1 - d)
    for m in range(1, 65):
        codec = parse(f"{spec}+QJL{m}", "ip", 0).fit(normal(9, 64), 64)
        noise = residual * (64 / (m * codec.sketch.mean_magnitude**2) - 1) / (math.pi / 2 - 1)
        heard = noise <= MOST_NOISE
        assert codec.scorer.signs == (1 if heard else 2)
        error = 0.5 * math.sqrt((1 - 2 / math.pi) * (1 + (noise if heard else 0)))
        assert math.isclose(codec.scorer.error, error, rel_tol=1e-9)


def share_of_grid(bits):
    """The same for evenly spaced levels v, not the means of their cells: |e - f|^2 / |f|^2 of the
    errors e of an unbiased v and f of signs, with <e, f> = E v / (E |z| v E |z|) - 1."""
    levels = uniform_levels(bits)
    z = np.linspace(0, 9, 200_001)
    v = (np.searchsorted(levels.thresholds, z) + 0.5) * levels.unit
    weight = np.exp(-z * z / 2)
    weight /= weight.sum()
    own = weight @ (v * v) / (weight @ (z * v)) ** 2 - 1
    both = weight @ v / (weight @ (z * v) * (weight @ z)) - 1
    return (own + math.pi / 2 - 1 - 2 * both) / (math.pi / 2 - 1)


@pytest.mark.parametrize(
    ("spec", "share"),
    [
        ("EDEN2(center=no)", 1 - D[2] / (1 - D[2]) / (math.pi / 2 - 1)),
        ("EDEN4(center=no)", 1 - D[4] / (1 - D[4]) / (math.pi / 2 - 1)),
        ("TQ2", 1 - D[2] / (math.pi / 2 - 1)),
        ("RaBitQ2", share_of_grid(2)),
        ("RaBitQ4", share_of_grid(4)),
        ("EDEN2(center=no)+QJL", 1),
        ("EDEN3(center=no)+QJL(projection=gaussian)", 1),
    ],
)
def test_spread_about_the_estimate_from_signs(spec, share):
    """Its square is that of `error`, of which a code's own levels leave out their own error."""
    x, q = normal(128, DIM), normal(64, DIM, 1)
    codec = parse(spec, "ip", 2).fit(None, DIM)
    scores, columns, operands = scored(codec, x, q)
    layout = codec.quantizer.layout
    signs = np.where(layout.unpack(columns) >> (layout.segments[0].bits - 1), -0.5, 0.5)
    scale = columns["scale"] * columns["ratio"].astype(np.float64)
    estimate = scale * (signs @ codec.transform.apply_query(q).T)
    squares = ((scores - estimate) / (scale * operands.norms)) ** 2
    error = 4 * squares.std() / squares.size**0.5
    assert error < 0.07 * squares.mean()
    assert abs(squares.mean() - share * codec.scorer.error**2) <= error
