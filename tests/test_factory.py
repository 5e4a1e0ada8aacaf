"""Factory strings: what they make, what they are written back to, and what is refused."""

import itertools

import numpy as np
import pytest

import vqindex as vq
from vqindex.factory import CODECS, parse
from vqindex.transforms import TRANSFORMS

METRICS = ("l2", "ip", "cosine")
QUANTIZERS = [
    "F32", "F16", "SQ8", *(f"EDEN{b}" for b in range(1, 9)), *(f"TQ{b}" for b in range(1, 9)),
    "EDEN4(center=no)", "EDEN4(scale=biased)", "EDEN4(center=no,scale=biased)", "TQ4(center=yes)",
    "QJL", "QJL64", "QJL(projection=gaussian)", "QJL9(projection=gaussian)",
]  # fmt: skip
SKETCHES = ["", "+QJL", "+QJL7", "+QJL(projection=gaussian)"]
KEEPS = ["", ",Keep(f32)", ",Keep(f16)"]


def default(codec):
    return "Hadamard" if codec.startswith(("EDEN", "TQ")) else "None"


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_every_spec_makes_itself_again(quantizer, metric):
    named = [f"{name}48x4," if name == "OPQ" else f"{name}," for name in TRANSFORMS]
    transforms = ["", "Hadamard(rounds=3),", *named]
    sketches = SKETCHES[:1] if quantizer in ("F32", "F16") else SKETCHES
    for transform, sketch, keep in itertools.product(transforms, sketches, KEEPS):
        codec = f"{quantizer}{sketch}{keep}"
        index = vq.index_factory(transform + codec, metric=metric, seed=5)
        same_as_default = transform == f"{default(quantizer)},"
        assert index.spec == (codec if same_as_default else transform + codec)
        assert parse(index.spec, metric, 5) == parse(transform + codec, metric, 5)
        assert (index.metric, index.seed, len(index), index.dim) == (metric, 5, 0, None)


@pytest.mark.parametrize(
    ("given", "spec"),
    [
        ("TQprod2", "TQ1+QJL"),
        ("TQprod9,Keep(f16)", "TQ8+QJL,Keep(f16)"),
        ("EDEN4(scale=fixed)", "TQ4(center=yes)"),
        ("EDEN4(scale=fixed,center=no)", "TQ4"),
        ("EDEN4(scale=unbiased, center=yes)", "EDEN4"),
        ("TQ4(scale=fixed,center=no)", "TQ4"),
        ("EDEN4()", "EDEN4"),
        ("EDEN04", "EDEN4"),
        (" Haar , EDEN2+QJL8 , Keep( f32 ) ", "Haar,EDEN2+QJL8,Keep(f32)"),
        ("Hadamard(rounds=2),EDEN4", "EDEN4"),
        ("Hadamard(rounds=2),F32", "Hadamard,F32"),
        ("None,EDEN4", "None,EDEN4"),
        ("QJL(projection=orthogonal)", "QJL"),
    ],
)
def test_other_ways_to_write_a_spec(given, spec):
    assert vq.index_factory(given).spec == spec


@pytest.mark.parametrize("spec", ["F16", "EDEN3", "TQprod3", "QJL", "Haar,SQ8", "EDEN2,Keep(f32)"])
def test_a_spec_and_the_parts_it_names_make_the_same(spec):
    parts = {
        "F16": {"quantizer": vq.Originals("F16")},
        "EDEN3": {"quantizer": vq.LloydMax(3)},
        "TQprod3": {"quantizer": vq.LloydMax(2, scale="fixed", center=False), "sketch": vq.QJL()},
        "QJL": {"quantizer": vq.QJL()},
        "Haar,SQ8": {"quantizer": vq.Originals("SQ8"), "transform": vq.DenseRotation()},
        "EDEN2,Keep(f32)": {"quantizer": vq.LloydMax(2), "keep": "f32"},
    }
    x = np.random.default_rng(0).standard_normal((1100, 10))
    states = []
    for index in (
        vq.index_factory(spec, metric="ip", seed=3),
        vq.FlatIndex(metric="ip", seed=3, **parts[spec]),
    ):
        assert index.spec == vq.index_factory(spec).spec
        index.add(x)
        states.append(index.__reduce__()[1][1])
    assert states[0] == states[1]


def test_the_default_index():
    index = vq.FlatIndex()
    assert (index.spec, index.metric, index.seed) == ("EDEN4", "cosine", 0)
    assert vq.index_factory("EDEN4").metric == "cosine"


UNKNOWN = [
    "", " ", ",", "EDEN4,", ",EDEN4", "ABC8x4", "eden4", "EDEN4;F32", "EDEN4 F32", "EDEN4+", "+QJL",
    "EDEN4+EDEN4", "EDEN4+QJL+QJL", "EDEN4,F32", "F32,EDEN4", "Haar", "Haar,Haar,EDEN4",
    "Keep(f32)", "Haar,Keep(f32)", "EDEN4,Keep(f32),Haar", "EDEN-4", "EDEN4.", "EDENx4", "EDEN4x",
    "EDEN4x4.5", "EDEN٤",
    "EDEN1234567890", "EDEN" + "9" * 5000, "EDEN4(", "EDEN4)", "EDEN4((center=no))", "\x00",
]  # fmt: skip


@pytest.mark.parametrize("spec", UNKNOWN, ids=lambda spec: ascii(spec[:20]))
def test_an_unknown_spec_is_answered_with_what_is_known(spec):
    with pytest.raises(vq.SpecError) as caught:
        vq.index_factory(spec)
    message = str(caught.value)
    assert message.startswith(f"unknown index spec {spec!r}; needed: [transform,]codec[+QJL<bits>]")
    for name in (*CODECS, *TRANSFORMS, "TQprod", "Keep(f32|f16)"):
        assert name in message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("EDEN", "EDEN needs its bits, such as EDEN4"),
        ("TQ", "TQ needs its bits, such as TQ4"),
        ("EDEN0", "bits must be 1 to 8, got 0"),
        ("EDEN9", "bits must be 1 to 8, got 9"),
        ("EDEN4.5", "bits must be 1 to 8, got 4.5"),
        ("EDEN4x4", "bits must be 1 to 8, got .4, 4."),
        ("QJL0", "QJL needs at least one bit, got 0"),
        ("EDEN4+QJL0", "QJL needs at least one bit, got 0"),
        ("TQprod", "TQprod takes 2 to 9 bits and nothing else, got 'TQprod'"),
        ("TQprod1", "TQprod takes 2 to 9 bits"),
        ("TQprod10", "bits must be 1 to 8, got 9"),
        ("TQprod3+QJL", "TQprod takes 2 to 9 bits and nothing else"),
        ("TQprod3+Haar", "TQprod takes 2 to 9 bits and nothing else"),
        ("TQprod3(center=no)", "TQprod takes 2 to 9 bits and nothing else"),
        ("F328", "F32 takes no further number, got F32 and 8"),
        ("SQ88", "SQ8 takes no further number, got SQ8 and 8"),
        ("Haar3,EDEN4", "Haar takes no number, got Haar and 3"),
        ("F32(center=no)", "F32 has no option 'center'; it has none"),
        ("EDEN4(bits=3)", "EDEN has no option 'bits'; it has center, scale"),
        ("QJL(center=no)", "QJL has no option 'center'; it has projection"),
        ("Haar(rounds=3),EDEN4", "Haar has no option 'rounds'; it has none"),
        ("EDEN4(center)", "options are written name=value, once each; got 'center'"),
        ("EDEN4(center=no,center=no)", "once each; got 'center=no'"),
        ("EDEN4(center=maybe)", "center must be yes or no, got 'maybe'"),
        ("EDEN4(scale=best)", "scale must be one of unbiased, biased, fixed, got 'best'"),
        ("EDEN4(scale=yes)", "scale must be one of unbiased, biased, fixed, got True"),
        ("TQ4(scale=biased)", r"TQ4 has a fixed scale; use EDEN4\(scale=biased\)"),
        ("QJL(projection=haar)", "projection must be orthogonal or gaussian, got 'haar'"),
        ("Hadamard(rounds=0),EDEN4", "rounds must be an integer >= 1, got 0"),
        ("Hadamard(rounds=no),EDEN4", "rounds must be an integer >= 1, got 'False'"),
        ("EDEN4,Keep(f64)", r"Keep takes f32 or f16, got 'Keep\(f64\)' in 'EDEN4,Keep\(f64\)'"),
        ("EDEN4,Keep", "Keep takes f32 or f16, got 'Keep'"),
        (None, "an index spec must be a string, got None"),
        (4, "an index spec must be a string, got 4"),
        (b"EDEN4", "an index spec must be a string, got b'EDEN4'"),
    ],
)
def test_what_is_wrong_with_a_spec_is_said(spec, message):
    with pytest.raises(vq.SpecError, match=message):
        vq.index_factory(spec)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("euclidean", "metric must be one of 'l2', 'ip', 'cosine', got 'euclidean': use 'l2'"),
        ("angular", "got 'angular': use 'cosine'"),
        ("L2", "got 'L2': use 'l2'"),
        ("hamming", "metric must be one of 'l2', 'ip', 'cosine', got 'hamming'"),
        (None, "got None"),
        (2, "got 2"),
    ],
)
def test_metrics_that_are_not_known(metric, message):
    for make in (lambda: vq.index_factory("F32", metric), lambda: vq.FlatIndex(metric=metric)):
        with pytest.raises(vq.SpecError, match=message):
            make()


@pytest.mark.parametrize(
    ("seed", "error"),
    [(-1, ValueError), (2**63, ValueError), (1.0, TypeError), ("0", TypeError), (True, TypeError)],
)
def test_seeds_that_cannot_be(seed, error):
    for make in (lambda: vq.index_factory("F32", seed=seed), lambda: vq.FlatIndex(seed=seed)):
        with pytest.raises(error, match="seed must be"):
            make()
    assert vq.index_factory("F32", seed=np.int64(2**63 - 1)).seed == 2**63 - 1


def test_what_may_be_kept():
    with pytest.raises(vq.SpecError, match='keep must be None, "f32" or "f16", got \'f64\''):
        vq.FlatIndex(keep="f64")
