"""Queries made ready by the kernel itself, compiled for the host: the CPU's own bits."""

import shutil

import numpy as np
import pytest

import vqindex as vq
from tests.kernels.gpu import emulated
from tests.kernels.gpu.fake import FakeDevice
from vqindex.indexes.device.jobs import Jobs

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ compiles the kernels")


def made(index, q):
    """Entries, half, gamma and alpha of queries: on the CPU, and by the kernel."""
    device, rows = FakeDevice(emulated.run), index._rows
    jobs = Jobs(device, rows, rows.model, 1)
    operands = rows.codec.operands(q)
    memory = device.allocate(q.nbytes)
    device.upload(memory.address, q, 0)
    (job,) = jobs.of_address(memory.address, len(q), 3, 3, None)
    work = device.allocate(job.nbytes + 64 * len(q))
    job.queue(work.address, work.address + job.nbytes, work.address + job.nbytes + 24 * len(q), 0)
    asked, nq = job.asked.moved(work.address), len(q)
    kind = np.float32 if operands.is_float else np.int8
    entries = np.empty((nq, asked.row_bytes // np.dtype(kind).itemsize), kind)
    half = np.empty((len(operands.program), asked.padded), np.float32)
    gamma, alpha = half.copy(), np.empty(nq, np.float32)
    for array, at in zip(
        (entries, half, gamma, alpha), (asked.entries, asked.half, asked.gamma, asked.alpha),
        strict=True,
    ):  # fmt: skip
        device.download(array, at, 0)
    assert asked.row_bytes == operands.row_bytes
    return operands, (entries, half[:, :nq], gamma[:, :nq], alpha)


def check(index, q):
    operands, (entries, half, gamma, alpha) = made(index, np.ascontiguousarray(q, np.float32))
    nq = len(q)
    np.testing.assert_array_equal(entries, operands.entries[:nq])
    np.testing.assert_array_equal(alpha, operands.alpha)
    if not operands.is_float:
        np.testing.assert_array_equal(half, operands.half[:, :nq])
        np.testing.assert_array_equal(gamma, operands.gamma[:, :nq])


def filled(spec, d, metric):
    index = vq.index_factory(spec, metric=metric)
    x = np.random.default_rng(d).standard_normal((1100, d)).astype(np.float32)
    index.fit(x + 0.3).add(x[:40])
    return index


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("d", [1, 3, 40, 64, 96, 130, 384, 768])
def test_rotated_queries(d, metric):
    index = filled("EDEN4", d, metric)
    check(index, np.random.default_rng(1).standard_normal((5, d)))


@pytest.mark.parametrize("spec", ["EDEN2.5", "RaBitQ3", "SQ8", "F32", "F16", "TQ4", "EDEN1",
                                  "PCA,EDEN4", "Haar,EDEN2", "Hadamard(block=64),EDEN4",
                                  "Hadamard(block=16,rounds=3),EDEN3"])  # fmt: skip
def test_other_codecs(spec):
    index = filled(spec, 200, "cosine")
    check(index, np.random.default_rng(1).standard_normal((3, 200)))


@pytest.mark.parametrize("d", [3, 256, 258, 300, 512, 900])
def test_queries_rotated_block_by_block(d):
    index = filled("Hadamard(block=256),EDEN4", d, "l2")
    check(index, np.random.default_rng(1).standard_normal((3, d)))


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_odd_queries(metric):
    index = filled("EDEN4", 40, metric)
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((7, 40)).astype(np.float32)
    rows[0] = 0
    rows[1] *= np.float32(1e-30)
    rows[2] *= np.float32(1e-42)
    rows[3] *= np.float32(1e17)
    rows[4, 1:] = 0
    rows[5] = rows[5].round()
    if metric == "cosine":
        rows[6] *= np.float32(1e37)
    check(index, rows)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_what_is_not_finite_has_no_scale(metric, bad):
    index = filled("EDEN4", 40, metric)
    q = np.ones((2, 40), np.float32)
    q[1, 7] = bad
    device, rows = FakeDevice(emulated.run), index._rows
    jobs = Jobs(device, rows, rows.model, 1)
    memory = device.allocate(q.nbytes)
    device.upload(memory.address, q, 0)
    (job,) = jobs.of_address(memory.address, 2, 3, 3, None)
    work = device.allocate(job.nbytes + 128)
    found = work.address + job.nbytes
    job.queue(work.address, found + 64, found, 0)
    ids = np.empty((2, 3), np.int64)
    device.download(ids, found, 0)
    assert (ids[0] >= 0).all()
    assert (ids[1] == -1).all()


@pytest.mark.parametrize("spec", ["LeanVec,EDEN4", "PQ5x8", "LVQ4", "TQprod3", "IVF2,EDEN4"])
def test_codecs_that_only_the_cpu_makes_ready(spec):
    rows = filled(spec, 40, "l2")._rows
    assert Jobs(FakeDevice(), rows, rows.model, 1).maker is None
