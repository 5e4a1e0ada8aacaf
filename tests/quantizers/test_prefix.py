"""The first bits of codes: which codes they are, what they stand for, and how they err."""

import functools

import numpy as np
import pytest

from vqindex.codec import ID
from vqindex.codes import Codes
from vqindex.errors import SpecError
from vqindex.factory import parse
from vqindex.indexes.stored import scores_of_blocks
from vqindex.layouts.joined import Joined
from vqindex.layouts.offset import OffsetColumn
from vqindex.quantizers import LloydMax, RaBitQ
from vqindex.quantizers.base import Nested

U = 2.0**-24
SPECS = {
    "EDEN1": 1, "EDEN2": 2, "EDEN4": 4, "EDEN8": 8, "EDEN4(scale=biased)": 4, "EDEN2.5": 2,
    "EDEN1.5": 1, "EDEN6(nested=yes)": 6, "EDEN3.5(nested=yes)": 3, "TQ4": 4, "RaBitQ1": 1,
    "RaBitQ4": 4, "RaBitQ8": 8, "RaBitQ3(search=fast)": 3, "LVQ1": 1, "LVQ8": 8, "LVQ4x4": 4,
}  # fmt: skip
CASES = [(spec, bits) for spec, most in SPECS.items() for bits in range(1, most + 1)]
cases = pytest.mark.parametrize(("spec", "bits"), CASES)
dims = pytest.mark.parametrize("dim", [1, 7, 65, 200])


def normal(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


@functools.cache
def fitted(spec, dim):
    return parse(spec, "ip", 5).fit(normal(50, dim), dim)


def scored(codec, columns, q):
    codes = Codes(codec.columns)
    codes.append(columns | {ID: np.arange(len(columns["scale"]))})
    return scores_of_blocks(codes, codec, codec.operands(q), 0, codes.nblocks)


def least_error(part, y):
    return part.expand(part.encode(y).columns).astype(np.float64) * part.shrink


@cases
@dims
def test_codes_are_the_first_bits_of_the_whole_ones(spec, bits, dim):
    whole = fitted(spec, dim)
    codec = whole.at(bits)
    assert codec is whole.at(bits)
    assert codec.columns == whole.columns
    columns = whole.encode(normal(40, dim, 1))
    layouts = [
        c.quantizer.layout.parts[0]
        if isinstance(c.quantizer.layout, Joined)
        else c.quantizer.layout
        for c in (whole, codec)
    ]
    kept = np.repeat([s.bits for s in layouts[0].segments], [s.dims for s in layouts[0].segments])
    want = layouts[0].unpack(columns) >> np.maximum(kept - bits, 0).astype(np.uint8)
    assert (layouts[1].unpack(columns) == want).all()
    encoded = codec.quantizer.encode(normal(3, dim, 2)).columns
    again = whole.quantizer.encode(normal(3, dim, 2)).columns
    assert all((encoded[name] == again[name]).all() for name in again)


@cases
@dims
def test_scores_are_inner_products_with_what_prefixes_stand_for(spec, bits, dim):
    """But for how queries are rounded, each segment by half a step of its largest entry."""
    whole = fitted(spec, dim)
    codec, q = whole.at(bits), normal(9, dim, 3)
    columns = whole.encode(normal(40, dim, 1))
    found = scored(codec, columns, q)
    x, y = codec.quantizer.expand(columns).astype(np.float64), codec.transform.apply_query(q)
    want = x @ y.astype(np.float64).T
    middle = isinstance(codec.quantizer.layout, Joined)
    coded = x - columns["middle"].reshape(-1, 1) if middle else x
    step = np.abs(y).max(axis=1) / 127 * 0.501
    sizes = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    bound = np.abs(coded).sum(axis=1)[:, None] * step + (4 * dim + 32) * U * sizes
    if middle:
        bound += 8 * dim * U * np.abs(columns["middle"]).reshape(-1, 1) * np.abs(y).sum(axis=1)
    assert (np.abs(found - want) <= bound).all()


@pytest.mark.parametrize(("bits", "want"), [(1, 0.36338), (2, 0.12026), (3, 0.03485)])
@pytest.mark.parametrize("nested", [False, True])
def test_distortion_of_prefixes_of_four_bits(bits, want, nested):
    y = normal(10, 100_000)
    part = LloydMax(4, nested=nested).fit(None, y.shape[1], 0).at(bits)
    assert part.distortion == pytest.approx(want, rel=1e-3)
    errors = (least_error(part, y) - y) ** 2 / (y.astype(np.float64) ** 2).mean()
    standard = 4 * errors.std() / errors.size**0.5
    assert abs(errors.mean() - want) <= standard + 1e-3 * want
    assert standard < 0.015 * want


@pytest.mark.parametrize(
    "part",
    [
        LloydMax(6, nested=True).fit(None, 384, 0),
        LloydMax(3.5, nested=True).fit(None, 384, 0),
        LloydMax(2).fit(None, 384, 0),
        RaBitQ(4).fit(None, 384, 0),
    ],
    ids=["EDEN6", "EDEN3.5", "EDEN2", "RaBitQ4"],
)
def test_scales_of_their_own_make_prefixes_unbiased_row_by_row(part):
    y = normal(300, 384)
    most = part.layout.segments[0].bits if getattr(part, "nested", False) else 2
    for bits in range(1, most):
        x = part.at(bits).encode(y).approximation.astype(np.float64)
        own = (x * y).sum(axis=1) / (y.astype(np.float64) ** 2).sum(axis=1)
        assert np.abs(own - 1).max() <= 2.0**-11 + 2000 * U  # a ratio is a float16


@pytest.mark.parametrize("recipe", [LloydMax(4), LloydMax(4, "biased"), LloydMax(4, "fixed")])
@pytest.mark.parametrize("bits", [2, 3])
def test_without_one_they_are_as_the_whole_codes_are_on_average(recipe, bits):
    """As long, and a share 1 - distortion of that where least errors are wanted.

    But for levels that are rounded by up to half a step of the whole codes' grid.
    """
    y = normal(3000, 128)
    part = recipe.fit(None, 128, 0)
    x = part.at(bits).encode(y).approximation.astype(np.float64)
    own = (x * y).sum(axis=1) / (y.astype(np.float64) ** 2).sum(axis=1)
    want = 1 if recipe.scale == "unbiased" else 1 - part.at(bits).distortion
    rounding = 0.5 * part.levels[0].unit * (2 / np.pi) ** 0.5
    assert abs(own.mean() - want) <= 4 * own.std() / len(own) ** 0.5 + rounding
    assert 0.01 < own.std() < 0.05  # what a scale of their own would save


def test_one_bit_is_the_code_of_one_bit():
    """Of EDEN and RaBitQ alike, but for a ratio in float16."""
    y = normal(200, 96)
    want = LloydMax(1).fit(None, 96, 0).encode(y).approximation
    for recipe in (LloydMax(4), LloydMax(2.5), LloydMax(4, "fixed"), RaBitQ(4), RaBitQ(8)):
        found = recipe.fit(None, 96, 0).at(1).encode(y).approximation
        assert np.abs(found / want - 1).max() <= 2.0**-11 + 500 * U


def test_all_bits_are_the_whole_code():
    for spec in ("EDEN4", "EDEN1", "RaBitQ4", "EDEN4(nested=yes)"):
        codec = fitted(spec, 65)
        part = codec.quantizer
        assert isinstance(part, Nested)
        assert part.at(1 if spec == "EDEN1" else 4) is part
        assert codec.at(None) is codec


def test_first_codes_of_two_are_read_alone():
    codec, both = fitted("LVQ4", 65), fitted("LVQ4x4", 65)
    x, q = normal(40, 65, 1), normal(5, 65, 2)
    alone, columns = codec.encode(x), both.encode(x)
    assert (alone["plane"] == columns["plane"]).all()
    parts = both.at(4).quantizer.layout.parts
    assert [type(part) for part in parts][1:] == [OffsetColumn]
    assert (scored(codec, alone, q) == scored(both.at(4), columns, q)).all()


@pytest.mark.parametrize(
    ("spec", "bits", "message"),
    [
        ("EDEN4", 5, "bits must be 1 to 4 of the codes of EDEN4, or None for all of them, got 5"),
        ("EDEN2.5", 3, "bits must be 1 to 2 of the codes of EDEN2.5"),
        ("LVQ4x8", 5, "bits must be 1 to 4 of the codes of LVQ4x8"),
        ("SAQ4", 2, "the codes of SAQ4 are read whole: leave bits=2 out"),
        ("PQ4x8", 2, "the codes of PQ4x8 are read whole"),
        ("F32", 8, "the codes of F32 are read whole"),
        ("TQ3+QJL", 2, r"the codes of TQ3\+QJL are read whole"),
    ],
)
def test_bits_that_are_not_there(spec, bits, message):
    with pytest.raises(SpecError, match=message):
        parse(spec, "ip", 0).check_bits(bits)
