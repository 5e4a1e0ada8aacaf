"""Damaged files, files of others, and disks that are full."""

import builtins
import errno
import io
import os

import numpy as np
import pytest
import safetensors.numpy

import vqindex as vq
from vqindex.container import header


def state(index):
    """The bytes of the file that `save` would write."""
    return index.__reduce__()[1][1]


def vectors(n, d=13):
    return np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)


def filled(spec="EDEN4", metric="cosine", n=1100):
    index = vq.index_factory(spec, metric=metric)
    index.add(vectors(n))
    return index


@pytest.mark.parametrize("spec", ["F32", "EDEN2"])
def test_every_flipped_bit_and_every_cut_is_found(tmp_path, spec):
    """In each byte one bit, another one in each."""
    path = tmp_path / "x.vqi"
    index = vq.index_factory(spec, metric="l2").fit(vectors(3, d=5))
    index.add(vectors(3, d=5))
    blob = bytearray(state(index))
    for place in range(len(blob)):
        bit = 1 << (7 * place % 8)
        blob[place] ^= bit
        path.write_bytes(blob)
        with pytest.raises(vq.CorruptFileError, match=r"x\.vqi: "):
            vq.load(path)
        blob[place] ^= bit
    for length in range(0, len(blob), 7):
        path.write_bytes(blob[:length])
        for level in ("full", "none"):
            with pytest.raises(vq.CorruptFileError, match=r"x\.vqi: "):
                vq.load(path, mmap=True, verify=level)
    path.write_bytes(blob)
    assert len(vq.load(path)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["F32", "EDEN2", "TQprod2"])
def test_truly_every_flipped_bit_is_found(tmp_path, spec):
    path = tmp_path / "x.vqi"
    index = vq.index_factory(spec, metric="l2").fit(vectors(3, d=5))
    index.add(vectors(3, d=5))
    blob = bytearray(state(index))
    for place in range(8 * len(blob)):
        blob[place // 8] ^= 1 << place % 8
        path.write_bytes(blob)
        for mmap in (False, True):
            with pytest.raises(vq.CorruptFileError):
                vq.load(path, mmap=mmap)
        blob[place // 8] ^= 1 << place % 8


def test_damage_that_is_not_looked_for_is_survived(tmp_path):
    """With verify="none" a damaged file is refused or answers; it never crashes."""
    path, rng = tmp_path / "x.vqi", np.random.default_rng(0)
    blob = state(filled("EDEN2", "l2", 70))
    outcomes = set()
    for _ in range(300):
        damaged = bytearray(blob)
        for place in rng.integers(0, len(blob), rng.integers(1, 5)):
            damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        for mmap in (False, True):
            try:
                index = vq.load(path, mmap=mmap, verify="none")
            except vq.CorruptFileError:
                outcomes.add("refused")
            else:
                outcomes.add("answered")
                with np.errstate(all="ignore"):
                    index.search(np.ones((9, index.dim)), k=5)
    assert outcomes == {"refused", "answered"}


@pytest.mark.parametrize("blob", [b"", b"{}", b"\x93NUMPY", b"PK\x03\x04" * 100, bytes(5000)])
def test_files_of_others_are_refused(tmp_path, blob):
    path = tmp_path / "theirs"
    path.write_bytes(blob)
    for call in (vq.load, vq.inspect, vq.verify):
        with pytest.raises(vq.CorruptFileError, match="theirs: "):
            call(path)


def test_safetensors_of_others_are_refused(tmp_path):
    path = tmp_path / "theirs.safetensors"
    safetensors.numpy.save_file({"weight": np.zeros((4, 4))}, path, {"format": "pt"})
    for call in (vq.load, vq.inspect, vq.verify):
        with pytest.raises(vq.CorruptFileError, match=r"theirs.safetensors: .*not a vqindex file"):
            call(path)


def test_files_of_newer_versions_are_told_apart(tmp_path, monkeypatch):
    path = tmp_path / "x.vqi"
    monkeypatch.setattr(header, "VERSION", 2)
    filled().save(path)
    monkeypatch.undo()
    for call in (vq.load, vq.inspect, vq.verify):
        with pytest.raises(vq.FormatVersionError, match="reads up to 1; upgrade vqindex"):
            call(path)


def test_errors_of_the_file_system_pass_through(tmp_path):
    for call in (vq.load, vq.inspect, vq.verify):
        with pytest.raises(FileNotFoundError):
            call(tmp_path / "missing")
        with pytest.raises(IsADirectoryError):
            call(tmp_path)
    with pytest.raises(FileNotFoundError):
        filled().save(tmp_path / "missing" / "x.vqi")
    with pytest.raises(IsADirectoryError):
        filled().save(tmp_path)
    filled().save(tmp_path / "x.vqi")
    with pytest.raises(ValueError, match="verify must be 'full', 'header' or 'none', got 'all'"):
        vq.load(tmp_path / "x.vqi", verify="all")


@pytest.mark.parametrize("after", [0, 100, 3000])
def test_a_full_disk_costs_nothing_but_the_new_file(tmp_path, monkeypatch, after):
    path = tmp_path / "x.vqi"
    old, new = filled("F32", n=10), filled("EDEN4")
    old.save(path)
    before, state_before = path.read_bytes(), state(new)

    class FullDisk(io.FileIO):
        left = after

        def write(self, data):
            size = memoryview(data).nbytes
            if size > self.left:
                raise OSError(errno.ENOSPC, "No space left on device")
            FullDisk.left -= size
            return super().write(data)

    def opened(name, mode="r", **options):
        return FullDisk(name, mode) if mode == "xb" else original(name, mode, **options)

    original = builtins.open
    monkeypatch.setattr(builtins, "open", opened)
    with pytest.raises(OSError, match="No space left on device"):
        new.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.vqi"]
    assert state(new) == state_before
    new.save(path)
    assert state(vq.load(path)) == state_before
