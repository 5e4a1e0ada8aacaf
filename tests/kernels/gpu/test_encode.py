"""Rows coded by the kernels themselves, launched by their bindings: on the host, and on a GPU."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import vqindex as vq
from tests.kernels.gpu import emulated
from tests.kernels.gpu.fake import FakeDevice
from vqindex.indexes.device.codes import DeviceCodes, padded
from vqindex.kernels.gpu import driver
from vqindex.kernels.gpu.encode import Coding, encode
from vqindex.kernels.gpu.launch import Launch, pointer, row_bytes
from vqindex.kernels.gpu.qjl import Projection, qjl
from vqindex.kernels.gpu.records import SEGMENT
from vqindex.layouts import device as layouts
from vqindex.sketches.qjl import FittedQJL
from vqindex.transforms import DenseRotation, HadamardRotation
from vqindex.transforms.runs import runs_of

N, FIRST = 45, 33  # rows, and those that are coded first
EMULATED = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ compiles the kernels")
GPU = pytest.mark.gpu, pytest.mark.skipif(not driver.devices(), reason="there is no NVIDIA GPU")


@pytest.fixture(params=[pytest.param(False, marks=EMULATED, id="emulated"),
                        pytest.param(True, marks=GPU, id="gpu")])  # fmt: skip
def device(request):
    return driver.device() if request.param else FakeDevice(emulated.run)


class Encoder:
    """Codes rows on a device; `segments` and `columns` are what it wrote, by their addresses."""

    def __init__(self, device, codec, plan):
        self.device, self.codec, self.held = device, codec, []
        rows = 32 * plan.blocks
        self.segments = [self.room(s.block_bytes * plan.blocks) for s in plan.segments]
        self.columns = {c.name: self.room(4 * rows) for c in codec.columns}
        self.odd = self.put(np.zeros(1, np.uint32))
        alone = isinstance(codec.quantizer, FittedQJL)
        sketch = codec.quantizer if alone else codec.sketch
        self.parts = [] if alone else list(zip(plan.segments, codec.quantizer.levels, strict=False))
        self.coding = self.coded_by(SimpleNamespace(rule="fixed") if alone else codec.quantizer)
        self.projection = None if sketch is None else self.projected_by(sketch)
        self.scale = None if sketch is None else self.columns[sketch.scale]

    def room(self, nbytes):
        self.held.append(self.device.allocate(nbytes))
        return self.held[-1].address

    def put(self, array):
        at = self.room(array.nbytes)
        self.device.upload(at, np.ascontiguousarray(array), self.device.stream)
        return at

    def coded_by(self, quantizer):
        runs, records = runs_of(self.codec.transform), np.zeros(len(self.parts), SEGMENT)
        for i, (segment, levels) in enumerate(self.parts):
            steps = levels.thresholds, levels.magnitudes + np.float32(0.5)
            records[i]["codes"] = self.segments[i]
            records[i]["codebook"] = self.put(np.concatenate(steps).astype(np.float32))
            records[i]["kind"], records[i]["chunks"] = segment.kind, segment.chunks
            records[i]["window"], records[i]["count"] = len(steps[1]), quantizer.dims[i]
        unit = quantizer.levels[0].unit if self.parts else 1.0
        center = 0 if self.codec.center is None else self.put(self.codec.center)
        return Coding(
            self.codec.dim, self.codec.metric, quantizer.rule, unit, self.put(records),
            len(self.parts), center, self.put(runs.signs), self.put(runs.mixes), runs.rounds,
            runs.size, runs.order,
        )  # fmt: skip

    def projected_by(self, sketch):
        runs = [runs_of(block) for block in sketch.blocks]
        signs, mixes = (self.put(np.stack(of)) for of in zip(*(r[3:] for r in runs), strict=True))
        worth = 2 / (sketch.bits * sketch.mean_magnitude)
        rounds, order = runs[0].rounds, runs[0].order
        return Projection(self.codec.dim, sketch.bits, worth, signs, mixes, rounds, order)

    def __call__(self, x, first):
        rest = 0 if self.projection is None else self.room(x.nbytes)
        names = [name if self.parts else "" for name in ("scale", "ratio")] + ["bias"]
        factors = [self.columns.get(name, 0) for name in names]
        self.launch(encode(self.coding, self.put(x), len(x), first, *factors, self.odd, rest))
        if rest:
            codes = self.segments[-1]
            self.launch(qjl(self.projection, rest, len(x), first, codes, self.scale))

    def launch(self, launch):
        self.device.launch(launch, self.device.stream)


def read(device, address, dtype, *shape):
    out = np.empty(shape, dtype)
    device.download(out, address, device.stream)
    device.synchronize(device.stream)
    return out


SPECS = [
    "EDEN1", "EDEN2(scale=biased)", "EDEN2.5", "TQ3", "EDEN4", "EDEN5", "TQprod3", "QJL200",
    "EDEN2(scale=biased)+QJL", "EDEN1+QJL(projection=gaussian)", "QJL70(projection=gaussian)",
    "Hadamard(block=64),EDEN4", "Haar,EDEN2",
]  # fmt: skip


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize(("spec", "d"), [*((s, 72) for s in SPECS), ("TQprod2", 130),
                                         ("Hadamard(block=256),EDEN3", 600)])  # fmt: skip
def test_codes_are_those_of_the_cpu(spec, d, metric, device):
    index = vq.index_factory(spec, metric=metric)
    rng = np.random.default_rng(d)
    x = rng.standard_normal((N, d)).astype(np.float32)
    index.fit(rng.standard_normal((1100, d)).astype(np.float32) + 0.3).add(x)
    rows = index._rows
    wanted = DeviceCodes(FakeDevice(), rows, rows.codec, 1)
    plan, codec = wanted.plan, rows.codec
    own = Encoder(device, codec, plan)
    own(x[:FIRST], 0)
    own(x[FIRST:], FIRST)
    starts = [wanted.memory.address + start for start in padded(plan.sizes)]
    for segment, at, got in zip(plan.segments, starts, own.segments, strict=False):
        shape = np.uint8, plan.blocks, segment.chunks, 32, 16
        width = d if segment.kind == layouts.BYTES else 16 * segment.chunks  # others end in zeros
        both = (read(*one, *shape) for one in ((own.device, got), (wanted.device, at)))
        got, want = (a.swapaxes(1, 2).reshape(-1, 16 * segment.chunks)[:N, :width] for a in both)
        np.testing.assert_array_equal(got, want)
    for column, at in zip(plan.factors, starts[len(plan.segments) :], strict=False):
        about = plan.columns[column]
        got = read(own.device, own.columns[about.name], about.dtype, N)
        assert got.tobytes() == read(wanted.device, at, about.dtype, N).tobytes()
    assert read(own.device, own.odd, np.uint32, 1)[0] == 0


@pytest.mark.parametrize(
    ("rotation", "d"),
    [(HadamardRotation(), 96), (HadamardRotation(), 1536), (HadamardRotation(block=64), 130),
     (HadamardRotation(block=256), 600), (DenseRotation(), 130)],
)  # fmt: skip
def test_rotated_rows_are_those_of_the_cpu(rotation, d, device):
    x = np.random.default_rng(d).standard_normal((N, d)).astype(np.float32)
    transform = rotation.fit(x, d, 1)
    runs, stride, arrays = runs_of(transform), d + 5, []
    for array in (x, np.full((N, stride), np.nan, np.float32), runs.signs, runs.mixes):
        arrays.append(device.allocate(array.nbytes))
        device.upload(arrays[-1].address, np.ascontiguousarray(array), device.stream)
    rows, out, signs, mixes = (pointer(memory.address) for memory in arrays)
    device.launch(Launch(
        "hadamard", (), "vq_rotate", (7, 1, 1), 128, 2 * row_bytes(d),
        (rows, np.int64(d), out, np.int64(stride), np.int64(N), np.int32(d), np.int32(runs.size),
         np.int32(runs.order), np.int32(runs.rounds), signs, mixes),
    ), device.stream)  # fmt: skip
    got = read(device, int(out), np.float32, N, stride)
    assert got[:, :d].tobytes() == transform.apply(x).tobytes()
    assert np.isnan(got[:, d:]).all()
