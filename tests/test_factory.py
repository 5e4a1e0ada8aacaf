"""Factory strings: what they make, what they are written back to, and what is refused."""

import itertools
import re

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
    "PQ48x4", "PQ48x8(center=no,scale=unbiased)", "OPQ48x4", "OPQ24x8(scale=length)",
    "RQ8x4", "RQ32x8(beam=2,center=no,groups=4,outliers=0.05,scale=length)",
    "RaBitQ1", "RaBitQ8", "RaBitQ4(search=fast)", "LVQ1", "LVQ8", "LVQ4x8", "SAQ1", "SAQ2.5",
    "VQ2", "VQ4(center=no,scale=biased,words=256)", "Ternary", "Levels5", "Levels11(center=no)",
    "OCT2", "OCT4(scale=biased)", "TCQ1", "TCQ2.5(center=no,window=10)", "PVQ1", "PVQ4(center=no)",
    "Polar", "Polar(center=no)",
    "NUQ1", "NUQ4(outliers=0.0)", "NUQ8(center=no,outliers=0.125,scale=unbiased)",
]  # fmt: skip
TRANSFORM_SPECS = [
    "None", "Haar", "Hadamard", "Hadamard(rounds=3)", "Calibrated", "Calibrated(rotation=Haar)",
    "PCA", "LeanVec", "LeanVec160", "OPQ48x4", "OPQ24x8",
]  # fmt: skip
SKETCHES = ["", "+QJL", "+QJL7", "+QJL(projection=gaussian)"]
KEEPS = ["", ",Keep(f32)", ",Keep(f16)"]


def default(codec):
    if codec.startswith("OPQ"):
        return codec.partition("(")[0]
    if codec.startswith("SAQ"):
        return "PCA"
    plain = codec.startswith(("F32", "F16", "SQ8", "QJL", "PQ", "RQ", "LVQ", "NUQ"))
    return "None" if plain else "Hadamard"


def test_every_name_is_here():
    for name in CODECS:
        assert any(re.match(f"{name}[0-9(]|{name}$", spec) for spec in QUANTIZERS), name
    for name in TRANSFORMS:
        assert any(re.match(f"{name}[0-9(]|{name}$", spec) for spec in TRANSFORM_SPECS), name


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_every_spec_makes_itself_again(quantizer, metric):
    others = TRANSFORM_SPECS
    if quantizer.startswith("OPQ"):
        others = [name for name in TRANSFORM_SPECS if name.startswith("OPQ")]
    transforms = ["", *(f"{transform}," for transform in others)]
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
        ("EDEN4.0", "EDEN4"),
        ("EDEN2.50(nested=no)", "EDEN2.5"),
        (" Haar , EDEN2+QJL8 , Keep( f32 ) ", "Haar,EDEN2+QJL8,Keep(f32)"),
        ("Hadamard(rounds=2),EDEN4", "EDEN4"),
        ("Hadamard(rounds=2),F32", "Hadamard,F32"),
        ("None,EDEN4", "None,EDEN4"),
        ("QJL(projection=orthogonal)", "QJL"),
        ("OPQ48x4,OPQ48x4", "OPQ48x4"),
        ("OPQ24x8,OPQ48x4", "OPQ24x8,OPQ48x4"),
        ("PQ08x4(scale=none)", "PQ8x4"),
        ("RQ8x4(groups=1,beam=5)", "RQ8x4"),
        ("PCA,SAQ4", "SAQ4"),
        ("SAQ4.0", "SAQ4"),
        ("SAQ0.000001", "SAQ0.000001"),
        ("TCQ2.0", "TCQ2"),
        ("Levels3", "Ternary"),
        ("VQ2(words=16)", "VQ2"),
        (
            " Haar , IVF08 , EDEN4 , Rerank( f16 ) , Keep( f32 ) ",
            "Haar,IVF8,EDEN4,Rerank(f16),Keep(f32)",
        ),
        ("IVF,EDEN4", "IVF,EDEN4"),
        ("IVF65536,F32", "IVF65536,F32"),
        ("IVF8(spill=1),EDEN4", "IVF8(spill=1),EDEN4"),
        ("EDEN4,Rerank(F32)", "EDEN4,Rerank(f32)"),
        (
            "IVF8,PQ8x4(center=no),Rerank(RQ8x4(groups=2,beam=2))",
            "IVF8,PQ8x4(center=no),Rerank(RQ8x4(beam=2,groups=2))",
        ),
        (
            "EDEN4(scale=biased),Rerank(EDEN8(scale=biased,center=no)),Keep(f16)",
            "EDEN4(scale=biased),Rerank(EDEN8(center=no,scale=biased)),Keep(f16)",
        ),
    ],
)
def test_other_ways_to_write_a_spec(given, spec):
    assert vq.index_factory(given).spec == spec


PARTS = {
    "F16": {"quantizer": vq.Originals("F16")},
    "EDEN3": {"quantizer": vq.LloydMax(3)},
    "TQprod3": {"quantizer": vq.LloydMax(2, scale="fixed", center=False), "sketch": vq.QJL()},
    "QJL": {"quantizer": vq.QJL()},
    "Haar,SQ8": {"quantizer": vq.Originals("SQ8"), "transform": vq.DenseRotation()},
    "EDEN2,Keep(f32)": {"quantizer": vq.LloydMax(2), "keep": "f32"},
    "PQ5x4": {"quantizer": vq.Product(5)},
    "OPQ5x4": {"quantizer": vq.Product(5, rotated=True)},
    "OPQ2x4,EDEN2": {"quantizer": vq.LloydMax(2), "transform": vq.LearnedRotation(2)},
    "RQ4x4(beam=2,groups=2)": {"quantizer": vq.Residual(4, beam=2, groups=2)},
    "RaBitQ3": {"quantizer": vq.RaBitQ(3)},
    "LVQ4x8": {"quantizer": vq.LVQ(4, 8)},
    "SAQ2.5": {"quantizer": vq.SAQ(2.5)},
    "VQ4": {"quantizer": vq.VectorQuantizer(4)},
    "Levels5": {"quantizer": vq.FractionalLevels(5)},
    "OCT3": {"quantizer": vq.Octahedral(3)},
    "TCQ1.5": {"quantizer": vq.Trellis(1.5)},
    "PVQ2": {"quantizer": vq.Pyramid(2)},
    "Polar": {"quantizer": vq.Polar()},
    "NUQ2(outliers=0.1)": {"quantizer": vq.NonUniform(2, 0.1)},
    "IVF6,EDEN4": {"nlist": 6},
    "IVF,EDEN4": {"nlist": None},
    "Haar,IVF6,TQ2": {
        "nlist": 6,
        "transform": vq.DenseRotation(),
        "quantizer": vq.LloydMax(2, scale="fixed", center=False),
    },
    "IVF6,EDEN1+QJL,Rerank(f16),Keep(f32)": {
        "nlist": 6,
        "quantizer": vq.LloydMax(1),
        "sketch": vq.QJL(),
        "keep": "f32",
        "rerank": vq.Originals("F16"),
    },
    "EDEN1,Rerank(EDEN8)": {"quantizer": vq.LloydMax(1), "rerank": vq.LloydMax(8)},
    "LeanVec6,LVQ4": {"quantizer": vq.LVQ(4), "transform": vq.LeanVec(6)},
}


@pytest.mark.parametrize("spec", PARTS)
def test_a_spec_and_the_parts_it_names_make_the_same(spec):
    x = np.random.default_rng(0).standard_normal((1100, 10))
    states = []
    for index in (
        vq.index_factory(spec, metric="ip", seed=3),
        (vq.IVFIndex if "nlist" in PARTS[spec] else vq.FlatIndex)(
            metric="ip", seed=3, **PARTS[spec]
        ),
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
    "Keep(f32)", "Haar,Keep(f32)", "IVF", "IVF8", "EDEN4,IVF8", "IVF8,Haar,EDEN4", "IVF8,IVF8",
    "IVF8,IVF8,EDEN4", "IVF8,Haar", "IVF8,EDEN4,F32", "IVF8+QJL,EDEN4", "IVF8.,EDEN4", "ivf8,EDEN4",
    "Rerank(QJL)", "Rerank(f16),EDEN4", "IVF8,Rerank(f16)", "EDEN4,Rerank(f16),Rerank(f16)",
    "EDEN4,Keep(f32),Rerank(f16)", "EDEN4,Rerank(f64)", "EDEN4,Rerank(Haar,EDEN4)",
    "EDEN4,Rerank(IVF8)", "EDEN4,Rerank(Haar)", "EDEN4,rerank(f16)",
    "EDEN4,Keep(f32),Haar", "EDEN-4", "EDEN4.", "EDENx4", "EDEN4x",
    "EDEN4x4.5", "EDEN٤",
    "EDEN1234567890", "EDEN" + "9" * 5000, "EDEN4(", "EDEN4)", "EDEN4((center=no))", "\x00",
]  # fmt: skip


@pytest.mark.parametrize("spec", UNKNOWN, ids=lambda spec: ascii(spec[:20]))
def test_an_unknown_spec_is_answered_with_what_is_known(spec):
    with pytest.raises(vq.SpecError) as caught:
        vq.index_factory(spec)
    message = str(caught.value)
    assert message.startswith(
        f"unknown index spec {spec!r}; needed: [transform,][IVF<nlist>,][Coarse<k>,]codec"
    )
    for name in (*CODECS, *TRANSFORMS, "TQprod", "Keep(f32|f16)"):
        assert name in message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("EDEN", "EDEN needs its bits, such as EDEN4"),
        ("TQ", "TQ needs its bits, such as TQ4"),
        ("EDEN0", "bits must be 1 to 8, got 0"),
        ("EDEN9", "bits must be 1 to 8, got 9"),
        ("EDEN8.5", "bits must be 1 to 8, got 8.5"),
        ("TQ0.5", "bits must be 1 to 8, got 0.5"),
        ("EDEN4(nested=maybe)", "nested must be yes or no, got 'maybe'"),
        ("EDEN2(nested=yes)", "scale of 3 bits or more; got 2 bits and scale=unbiased"),
        ("TQ4(nested=yes)", "got 4 bits and scale=fixed"),
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
        ("EDEN4(bits=3)", "EDEN has no option 'bits'; it has center, nested, scale"),
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
        ("PQ8", "PQ needs its codes and their bits, such as PQ48x4"),
        ("PQ8x5", "4 or 8 bits, got 5"),
        ("OPQ8x4x2", "OPQ needs its codes and their bits, such as OPQ48x4"),
        ("PQ8x4(center=maybe)", "center must be yes or no, got 'maybe'"),
        ("PQ8x4(scale=biased)", "scale must be one of none, unbiased, length, got 'biased'"),
        (
            "PQ8x4(groups=2)",
            "PQ has no option 'groups'; it has anisotropic, center, scale, weighting",
        ),
        ("RQ8x4(groups=3)", "groups must divide the 8 codes, got 3"),
        ("RQ8x4(beam=no)", "beam must be an integer >= 1, got False"),
        ("RQ32x8", "up to 4,096 words, got 8,192 .*: use groups="),
        ("RaBitQ", "RaBitQ needs its bits, such as RaBitQ4"),
        ("RaBitQ4(search=slow)", "search must be one of exact, fast, got 'slow'"),
        ("LVQ4x0", "LVQ needs the bits of one code or two, such as LVQ8 or LVQ4x8"),
        ("SAQ99", "bits must be above 0 and up to 7, got 99"),
        ("VQ3", "VQ codes 2 or 4 dimensions together, got 3"),
        ("VQ2(words=9)", "words must be one of .*, got 9"),
        ("Ternary3", "Ternary takes no further number, got 3"),
        ("Levels7", "levels must be one of 3, 5, 11, got 7"),
        ("OCT5", "OCT takes 2, 3 or 4 bits, got 5"),
        ("TCQ1.25", "TCQ takes 1 to 4 bits by halves, got 1.25"),
        ("PVQ9", "bits must be 1 to 4, got 9"),
        ("Polar4", "Polar takes no number, got Polar and 4"),
        ("NUQ3", "NUQ takes 1, 2, 4 or 8 bits, got 3"),
        ("NUQ4(outliers=half)", "outliers must be a share from 0 to 0.25, got 'half'"),
        ("NUQ4(outliers=0.5)", "outliers must be a share from 0 to 0.25, got 0.5"),
        ("RQ8x4(outliers=0.1)", "outliers are a group of their own: use groups=2 or more"),
        ("RQ8x4(groups=2,outliers=0.6)", "outliers must be a share from 0 to 0.5, got 0.6"),
        (
            "PCA,OPQ8x4",
            "OPQ8x4 is coded after a rotation learned for it, got PCA: leave PCA or the O",
        ),
        ("PCA4,EDEN4", "PCA takes no number, got PCA and 4"),
        ("LeanVec0,EDEN4", "LeanVec needs at least one dimension, got 0"),
        ("OPQ8,EDEN4", "OPQ needs its codes and their bits, such as OPQ48x4"),
        ("Calibrated(rotation=PCA),EDEN4", "rotation must be Hadamard, Haar, None, got 'PCA'"),
        ("EDEN4,Keep(f64)", r"Keep takes f32 or f16, got 'Keep\(f64\)' in 'EDEN4,Keep\(f64\)'"),
        ("IVF0,EDEN4", "nlist must be an integer from 1 to 65,536, got 0"),
        ("IVF65537,EDEN4", "nlist must be an integer from 1 to 65,536, got 65537"),
        ("IVF8x2,EDEN4", "IVF takes a number of lists or none, got 'IVF8x2' in 'IVF8x2,EDEN4'"),
        ("IVF8.5,EDEN4", "IVF takes a number of lists or none, got 'IVF8.5'"),
        ("IVF8(seed=3),EDEN4", r"IVF has no option 'seed'; it has spill\."),
        ("IVF8,EDEN9", "bits must be 1 to 8, got 9"),
        ("EDEN4,Rerank", r"Rerank takes a codec, such as Rerank\(f16\), got 'Rerank'"),
        ("EDEN4,Rerank(EDEN8", "Rerank takes a codec"),
        ("EDEN4,Rerank()", "Rerank takes a codec"),
        ("EDEN4,Rerankf16", "Rerank takes a codec"),
        ("EDEN4,Rerank(EDEN4+QJL)", "Rerank takes a codec without a sketch"),
        ("EDEN4,Rerank(TQprod4)", "Rerank takes a codec without a sketch"),
        ("EDEN4,Rerank(EDEN9)", "bits must be 1 to 8, got 9"),
        ("EDEN4,Rerank(EDEN8(bits=3))", "EDEN has no option 'bits'"),
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
