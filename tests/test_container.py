import contextlib
import errno
import itertools
import os
import stat
import tracemalloc
import zlib

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vqindex import container
from vqindex.container import Chunks, writing
from vqindex.errors import CorruptFileError, DtypeError, FormatVersionError, ShapeError

MIB = 1 << 20
DTYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")
LEVELS = ("full", "header", "none")

names = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda n: not n.startswith("_"))
texts = st.text(st.characters(codec="utf-8"))
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)
any_array = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, shapes))


def sample():
    return {
        "codes": np.arange(300, dtype=np.uint8).reshape(20, 15),
        "scale": np.linspace(-1, 1, 37, dtype=np.float16),
        "ids": np.arange(20, dtype=np.int64) * 7,
        "none": np.empty((0, 4), np.float32),
        "seed": np.array(5, np.uint32),
    }


def same(got, want):
    assert list(got) == list(want)
    for name, array in want.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
        assert got[name].tobytes() == array.tobytes()


def data_start(blob):
    return 8 + int.from_bytes(blob[:8], "little")


def join(text, data):
    text += b" " * (-(8 + len(text)) % 64)
    return len(text).to_bytes(8, "little") + text + data


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "saved.vqi"
    container.write(path, sample(), {"spec": "EDEN4"})
    return path


@given(st.dictionaries(names, any_array, max_size=6), st.dictionaries(texts, texts, max_size=3))
def test_everything_comes_back_and_the_official_reader_agrees(tmp_path_factory, arrays, metadata):
    path = tmp_path_factory.getbasetemp() / "any.vqi"
    container.write(path, arrays, metadata)
    for contents in (container.read(path), container.read(path, mmap=True)):
        same(contents.arrays, arrays)
        assert contents.metadata == metadata
        assert all(array.ctypes.data % 64 == 0 for array in contents.arrays.values() if array.size)
    official = safetensors.numpy.load_file(path)
    same({name: official[name] for name in arrays}, arrays)
    assert path.read_bytes() == container.to_bytes(arrays, metadata)


def test_the_bytes_are_those_of_the_format(monkeypatch):
    monkeypatch.setattr(writing, "_created_by", lambda: "vqindex 1")
    arrays = {"é": np.array([[1, 2]], ">i2"), "x": np.array(0.5)}
    blob = container.to_bytes(arrays, {"format": "mine"})
    text = (
        '{"__metadata__":{"format":"vqindex","version":"1","created_by":"vqindex 1",'
        '"user.format":"mine"},'
        '"é":{"dtype":"I16","shape":[1,2],"data_offsets":[0,4]},'
        '"_pad1":{"dtype":"U8","shape":[60],"data_offsets":[4,64]},'
        '"x":{"dtype":"F64","shape":[],"data_offsets":[64,72]},'
        '"_pad3":{"dtype":"U8","shape":[56],"data_offsets":[72,128]},'
        '"_crc32":{"dtype":"U32","shape":[3],"data_offsets":[128,140]}}'
    ).encode()
    head = join(text, b"")
    data = b"\x01\x00\x02\x00" + bytes(60) + np.float64(0.5).tobytes() + bytes(56)
    table = b"".join(zlib.crc32(part).to_bytes(4, "little") for part in (head, data))
    assert blob == head + data + table + zlib.crc32(table).to_bytes(4, "little")


def test_arrays_in_any_memory_order():
    base = np.arange(60, dtype=np.int32).reshape(6, 10)
    arrays = {"t": base.T, "step": base[::2, ::-3], "big": base.astype(">i4")}
    got = container.from_bytes(container.to_bytes(arrays, {})).arrays
    for name, array in arrays.items():
        np.testing.assert_array_equal(got[name], array)
        assert got[name].dtype == np.int32


@given(st.lists(st.integers(0, 300_000), max_size=6))
@settings(max_examples=20)
def test_chunks_are_written_like_the_whole(sizes):
    whole = np.arange(sum(sizes), dtype=np.uint64)
    parts = np.split(whole, np.cumsum(sizes)[:-1])
    chunks = Chunks(np.uint64, whole.shape, (part for part in parts))
    assert container.to_bytes({"x": chunks}, {}) == container.to_bytes({"x": whole}, {})


@pytest.mark.parametrize(
    ("arrays", "metadata", "error"),
    [
        ({"": np.zeros(1)}, {}, ValueError),
        ({"_x": np.zeros(1)}, {}, ValueError),
        ({"\ud800": np.zeros(1)}, {}, ValueError),
        ({"x": np.zeros(1, bool)}, {}, DtypeError),
        ({"x": np.array([None])}, {}, DtypeError),
        ({"x": np.array(["a"], np.dtypes.StringDType())}, {}, DtypeError),
        ({"x": np.zeros((1,) * 33)}, {}, ShapeError),
        ({"x": Chunks(np.uint8, (-1, -1), [np.zeros(1, np.uint8)])}, {}, ShapeError),
        ({"x": Chunks("f4", (2, 2), [np.zeros(3, "f4")])}, {}, ShapeError),
        ({"x": Chunks("f4", (2, 2), [np.zeros(4, "f4"), np.zeros(1, "f4")])}, {}, ShapeError),
        ({"x": Chunks("f4", (2, 2), [np.zeros(2, "f8")])}, {}, DtypeError),
        ({}, {"a": 1}, TypeError),
        ({}, {1: "a"}, TypeError),
        ({}, {"long": "x" * (16 * MIB)}, ValueError),
    ],
)
def test_what_cannot_be_written_leaves_no_file(tmp_path, arrays, metadata, error):
    with pytest.raises(error):
        container.write(tmp_path / "x.vqi", arrays, metadata)
    assert os.listdir(tmp_path) == []


@pytest.fixture
def untouched(saved):
    """Whatever the test does, the saved file stays, and stays alone."""
    before = saved.read_bytes()
    yield saved
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_failure_while_writing_changes_nothing(untouched, error):
    def parts():
        yield np.zeros(MIB, np.uint8)
        raise error

    with pytest.raises(type(error)):
        container.write(untouched, {"x": Chunks(np.uint8, (2 * MIB,), parts())}, {})


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_at_the_end_changes_nothing(untouched, monkeypatch, step):
    def fail(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="full"):
        container.write(untouched, {}, {})


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files by a POSIX call")
def test_a_file_system_that_takes_no_more_changes_nothing(untouched):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            container.write(untouched, {"x": np.zeros(2 * MIB, np.uint8)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.skipif(os.name != "posix", reason="folders are flushed on POSIX systems")
def test_file_then_name_then_folder_reach_the_disk(saved, monkeypatch):
    steps = []
    monkeypatch.setattr(os, "fsync", lambda fd: steps.append(stat.S_ISDIR(os.fstat(fd).st_mode)))
    monkeypatch.setattr(os, "replace", lambda *names: steps.append(names))
    container.write(saved, {}, {})
    file, (temporary, target), folder = steps
    assert (file, target, folder) == (False, saved, True)
    assert temporary.parent == saved.parent
    assert temporary.match(f".{saved.name}.{os.getpid()}.*.tmp")


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        container.write(tmp_path / "x.vqi", {}, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.vqi").stat().st_mode) == 0o666 & ~umask


def test_links_are_followed(saved):
    link = saved.with_name("link.vqi")
    link.symlink_to(saved.name)
    container.write(str(link), {"x": np.arange(3)}, {})
    assert link.is_symlink()
    same(container.read(saved).arrays, {"x": np.arange(3)})


def test_errors_of_the_file_system_pass_through(tmp_path):
    for call in (container.read, container.inspect, container.verify):
        with pytest.raises(FileNotFoundError):
            call(tmp_path / "missing.vqi")
        with pytest.raises(IsADirectoryError):
            call(tmp_path)
    with pytest.raises(IsADirectoryError):
        container.write(tmp_path, {}, {})
    with pytest.raises(OSError, match="plain file"):
        container.write(os.devnull, {}, {})


@pytest.mark.parametrize("level", LEVELS)
def test_arrays_are_fresh_or_mapped_and_outlive_the_file(saved, level):
    fresh = container.read(saved, verify=level)
    mapped = container.read(saved, mmap=True, verify=level)
    container.write(saved, {}, {})
    for contents, writeable in ((fresh, True), (mapped, False)):
        same(contents.arrays, sample())
        assert contents.metadata == {"spec": "EDEN4"}
        assert all(array.flags.writeable == writeable for array in contents.arrays.values())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_buffers_of_any_kind_are_read(kind):
    same(container.from_bytes(kind(container.to_bytes(sample(), {}))).arrays, sample())


def test_the_level_of_verification_must_be_known(saved):
    with pytest.raises(ValueError, match="'full', 'header' or 'none', got 'all'"):
        container.read(saved, verify="all")


def test_inspect_describes_without_reading_the_data(saved):
    blob = saved.read_bytes()
    saved.write_bytes(
        blob[: data_start(blob)] + bytes(len(blob) - data_start(blob) - 16) + blob[-16:]
    )
    summary = container.inspect(saved)
    assert summary["version"] == 1
    assert summary["created_by"].startswith("vqindex")
    assert summary["metadata"] == {"spec": "EDEN4"}
    assert summary["file_bytes"] == len(blob)
    assert summary["tensors"] == {
        name: {"dtype": str(array.dtype), "shape": array.shape, "nbytes": array.nbytes}
        for name, array in sample().items()
    }
    saved.write_bytes(blob.replace(b"EDEN4", b"EDEN5"))
    with pytest.raises(CorruptFileError, match=r"saved\.vqi: the header is damaged"):
        container.inspect(saved)


def peak_bytes(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_beside_the_arrays_is_bounded(tmp_path):
    path, total = tmp_path / "large.vqi", 24 * MIB
    arrays = {"x": Chunks(np.uint8, (24, MIB), (np.full(MIB, i, np.uint8) for i in range(24)))}
    slack = 4 * MIB
    assert peak_bytes(lambda: container.write(path, arrays, {})) < slack
    assert peak_bytes(lambda: container.verify(path)) < slack
    assert peak_bytes(lambda: container.read(path, mmap=True)) < slack
    assert peak_bytes(lambda: container.read(path)) < total + slack


def refuses(blob, levels=LEVELS, match=None):
    for level in levels:
        with pytest.raises(CorruptFileError, match=match):
            container.from_bytes(blob, verify=level)


def test_every_flipped_bit_is_found():
    arrays = sample() | {"more": np.arange(150.0)}
    blob = bytearray(container.to_bytes(arrays, {"spec": "EDEN4"}))
    header_bytes = data_start(blob)
    assert len(blob) > 2000
    for place, bit in itertools.product(range(len(blob)), range(8)):
        blob[place] ^= 1 << bit
        refuses(blob, ("full",))
        if place < header_bytes:
            refuses(blob, ("header",))
            with contextlib.suppress(CorruptFileError):
                container.from_bytes(blob, verify="none")
        blob[place] ^= 1 << bit
    same(container.from_bytes(blob).arrays, arrays)


def test_every_cut_and_every_addition_is_found():
    blob = container.to_bytes(sample(), {})
    for length in range(len(blob)):
        refuses(blob[:length], ("full", "none"))
    for more in (b"\0", b" ", bytes(64), blob):
        refuses(blob + more, match="appended")


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(("place", "name"), [(0, "a"), (5 * MIB + 3, "c")])
def test_damage_is_named(tmp_path, mmap, place, name):
    path = tmp_path / "three.vqi"
    arrays = {name: np.full(2 * MIB - 64, 7, np.uint8) for name in "abc"}
    container.write(path, arrays | {"empty": np.empty(0)}, {})
    blob = bytearray(path.read_bytes())
    blob[data_start(blob) + place] ^= 16
    path.write_bytes(blob)
    for call in (container.verify, lambda path: container.read(path, mmap)):
        with pytest.raises(CorruptFileError, match=f"three.vqi: damage in '{name}': 1 of 6"):
            call(path)
    container.read(path, mmap, verify="header")
    blob[-1] ^= 1
    path.write_bytes(blob)
    with pytest.raises(CorruptFileError, match="the checksums are damaged"):
        container.read(path, mmap, verify="header")


def test_newer_versions_are_told_apart_from_damage():
    blob = join(VALID.replace('"1"', '"2"').encode(), bytes(76))
    with pytest.raises(FormatVersionError, match="version is 2 and this vqindex reads up to 1"):
        container.from_bytes(blob)


TENSOR = '"%s":{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]}'
VALID = (
    '{"__metadata__":{"format":"vqindex","version":"1"},'
    + TENSOR % ("x", 64, 0, 64)
    + ',"_crc32":{"dtype":"U32","shape":[3],"data_offsets":[64,76]}}'
)
HALVES = TENSOR % ("_a", 1, 0, 1) + "," + TENSOR % ("x", 63, 1, 64)
EDITS = [
    ("does not begin", VALID, ["", " {}", "[]", "1", "null"]),
    ("not valid JSON", VALID, ["{", "{}{}", '{"a":' + "[" * 200_000, '{"a":' * 200_000]),
    ("not valid JSON", "64", ["NaN", "-Infinity", "64.0", "1e3", "9" * 5000, "064"]),
    ("not valid JSON", "x", ["\udcff", "\n"]),
    ("a name occurs twice", '"x"', ['"_crc32"']),
    ("a name occurs twice", '"shape"', ['"dtype"']),
    ("not a vqindex file", '{"format":"vqindex","version":"1"}', ["1", "null", "[]", "{}"]),
    ("not a vqindex file", '"vqindex"', ['"pt"', "null", "[]"]),
    ("not a string", '"1"', ["1", '"1","spec":{}']),
    ("must be a whole number", '"1"', ['""', '"0"', '"-1"', '"1.0"', '"\u0661"', '"1\\n"']),
    ("does not describe", '"x":{', ['"":{', '"y":1,"x":{', '"y":[],"x":{']),
    ("must have dtype, shape", '"x":{', ['"x":{"more":1,', '"y":{},"x":{']),
    ("unknown dtype", '"U8"', ['"BOOL"', '"BF16"', '"u1"', '""', "3", "null", '["U8"]']),
    ("impossible shape", "[64]", ["[-1,-64]", "[true]", "[9223372036854775808]", "64", "null"]),
    ("impossible shape", "[64]", ['"64"', "[[64]]", "[0,4294967296,4294967296]", str([1] * 33)]),
    ("bad offsets", "[0,64]", ["[0]", "[0,64,64]", "[-64,0]", "[false,64]", "{}", "64"]),
    ("its offsets span", "[0,64]", ["[0,63]", "[64,0]", "[0,9223372036854775807]"]),
    ("its offsets span", "[64]", ["[]", "[63]", "[64,64]"]),
    ("overlaps", '[64],"data_offsets":[0,64]', ['[65],"data_offsets":[0,65]']),
    ("leaves a hole", "[0,64]", ["[64,128]"]),
    ("at a multiple", TENSOR % ("x", 64, 0, 64), [HALVES]),
    ("was cut short", '[3],"data_offsets":[64,76]', ['[4],"data_offsets":[64,80]']),
    ("has bytes appended", '[3],"data_offsets":[64,76]', ['[2],"data_offsets":[64,72]']),
    ("not the checksums", "_crc32", ["_crc", "crc32"]),
    ("not the checksums", "}}", ["}," + TENSOR % ("_z", 0, 76, 76) + "}"]),
    ("must be uint32", '"U32","shape":[3]', ['"F32","shape":[3]', '"U32","shape":[1,3]']),
]


@pytest.mark.parametrize(
    ("match", "old", "new"),
    [(match, old, new) for match, old, news in EDITS for new in news],
    ids=lambda text: text[:20],
)
def test_hostile_headers_are_refused(match, old, new):
    assert old in VALID
    text = VALID.replace(old, new, 1).encode(errors="surrogateescape")
    refuses(join(text, bytes(76)), match=match)


@pytest.mark.parametrize("length", [2**24 + 1, 2**25, 2**63, 2**64 - 1])
def test_hostile_header_lengths_are_refused(length):
    refuses(length.to_bytes(8, "little") + b"{" + bytes(2**24), match="header cannot be")


def test_data_that_starts_elsewhere_is_refused():
    text = VALID.encode().ljust(len(VALID) + -len(VALID) % 64)
    refuses(len(text).to_bytes(8, "little") + text + bytes(76), match=f"byte {len(text) + 8}, not")


def test_reserved_tensors_of_others_are_skipped():
    blob = join(f"{VALID[:-1]},{TENSOR % ('_later', 0, 64, 64)}}}".encode(), bytes(76))
    assert list(container.from_bytes(blob, verify="none").arrays) == ["x"]
