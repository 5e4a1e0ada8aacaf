"""A GPU: its memory, and kernels loaded and launched on it.

Nothing here runs before `devices` has found a working driver. Without one, parts of cuda-core wait
for ever; so every way in goes by `device`, which raises BackendError instead.
"""

import contextlib
import ctypes
import functools
import sys
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt

from vqindex.errors import BackendError
from vqindex.kernels.gpu.compile import INSTALL, cubin
from vqindex.kernels.gpu.launch import Launch

FREE_SHARED = 22 * 1024  # bytes that need no asking for: of 48 KB kernels declare 26 themselves
_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # attributes of a device: its compute capability
_SPARE = 64 << 20  # bytes left free, for what the driver and kernels take themselves
_STREAMS = 64  # of callers, that are known as cuda-core has them: each is a class of Python's there


class Memory:
    """Bytes on a device from `address` on, given back with this object."""

    def __init__(self, address: int, nbytes: int, free: Any = None) -> None:
        self.address, self.nbytes = address, nbytes
        if free is not None:
            weakref.finalize(self, free, address).atexit = False


class Device(Protocol):
    """What bindings and indexes ask of a GPU. Streams are handles, 0 for the default one."""

    number: int
    name: str
    arch: str  # as NVRTC names it: "sm_90"
    cores: int  # streaming multiprocessors
    shared_bytes: int  # of shared memory that a block may ask for
    stream: int  # for work that no caller has a stream for

    def free_bytes(self) -> int:
        """Memory that is free."""
        ...

    def allocate(self, nbytes: int) -> Memory:
        """Memory at a multiple of 256 bytes; BackendError."""
        ...

    def upload(self, address: int, array: npt.NDArray[Any], stream: int) -> None:
        """Write a C-contiguous array to memory from `address` on; it may go at once."""
        ...

    def download(self, array: npt.NDArray[Any], address: int, stream: int) -> None:
        """Read a C-contiguous array from there; it is there once the stream is done."""
        ...

    def clear(self, address: int, nbytes: int, stream: int) -> None:
        """Write zeros."""
        ...

    def launch(self, launch: Launch, stream: int) -> None:
        """Queue a launch on a stream."""
        ...

    def synchronize(self, stream: int) -> None:
        """Wait for what was queued on a stream."""
        ...


class Gpu(NamedTuple):
    """What a driver tells of a device."""

    name: str
    arch: str
    memory_bytes: int


@functools.cache
def _probe() -> tuple[tuple[Gpu, ...], str]:
    """The GPUs of a working driver, which this initialises, or why there are none."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return (), f"{_LIBRARY}, which NVIDIA's driver brings, was not found"
    error = library.cuInit(0)
    if error:
        return (), f"NVIDIA's driver does not start (cuInit gives error {error})"
    count = ctypes.c_int(0)
    error = library.cuDeviceGetCount(ctypes.byref(count))
    if error or not count.value:
        return (), f"NVIDIA's driver finds no GPU (error {error})"
    return tuple(_described(library, number) for number in range(count.value)), ""


def _described(library: Any, number: int) -> Gpu:
    at, name, size = ctypes.c_int(0), ctypes.create_string_buffer(128), ctypes.c_size_t(0)
    library.cuDeviceGet(ctypes.byref(at), number)
    library.cuDeviceGetName(name, len(name), at)
    library.cuDeviceTotalMem_v2(ctypes.byref(size), at)
    major, minor = ctypes.c_int(0), ctypes.c_int(0)
    library.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, at)
    library.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, at)
    return Gpu(name.value.decode(), f"sm_{major.value}{minor.value}", size.value)


def devices() -> tuple[Gpu, ...]:
    """The GPUs there are, in the order of their numbers. Initialises the driver."""
    return _probe()[0]


def device(number: int = 0) -> Device:
    """The GPU of that number, as CUDA_VISIBLE_DEVICES has them; BackendError."""
    found, reason = _probe()
    if not found:
        raise BackendError(
            f'device "cuda" needs an NVIDIA GPU and its driver: {reason}. Search on the CPU with '
            "the index as it is, or run where `nvidia-smi` shows a GPU."
        )
    if number >= len(found):
        raise BackendError(
            f'there is no device "cuda:{number}": the last is "cuda:{len(found) - 1}".'
        )
    return _opened(number)


@functools.cache
def _opened(number: int) -> "Device":
    try:
        return CudaDevice(number)
    except ImportError as missing:
        raise BackendError(f'device "cuda" needs cuda-core: {INSTALL}.') from missing


class CudaDevice:
    """A Device through cuda-core, in the context that torch and others share."""

    def __init__(self, number: int) -> None:
        from cuda.bindings import driver

        from cuda import core

        self._driver, self._core, found = driver, core, core.Device(number)
        self.number, self.name, self.arch = number, found.name, f"sm_{found.arch}"
        self.cores = found.properties.multiprocessor_count
        self.shared_bytes = found.properties.max_shared_memory_per_block_optin
        self._context = self._call("cuDevicePrimaryCtxRetain", number)
        self._stream = functools.lru_cache(_STREAMS)(core.Stream.from_handle)
        self._kernels: dict[tuple[Any, ...], Any] = {}
        with self._current():
            self.stream = int(self._call("cuStreamCreate", 1))  # waits for no other

    def _call(self, name: str, *arguments: Any) -> Any:
        """What a function of the driver gives, if it gives something."""
        error, *results = getattr(self._driver, name)(*arguments)
        if int(error):
            text = self._driver.cuGetErrorString(error)[1] or b"unknown"
            raise BackendError(f"{self.name}: {name} failed: {text.decode()} ({int(error)}).")
        return results[0] if len(results) == 1 else results

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        """Make this device the calling thread's, for a while."""
        self._call("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent")

    def free_bytes(self) -> int:
        """See Device."""
        with self._current():
            return max(int(self._call("cuMemGetInfo")[0]) - _SPARE, 0)

    def allocate(self, nbytes: int) -> Memory:
        """See Device."""
        if nbytes == 0:
            return Memory(0, 0)
        with self._current():
            return Memory(int(self._call("cuMemAlloc", nbytes)), nbytes, self._free)

    def _free(self, address: int) -> None:
        with self._current():
            self._call("cuMemFree", address)

    def upload(self, address: int, array: npt.NDArray[Any], stream: int) -> None:
        """See Device."""
        if array.nbytes:
            with self._current():
                if int(self._call("cuStreamIsCapturing", stream)):
                    raise BackendError(
                        "a CUDA graph would read memory that is gone when it runs: in a graph, "
                        "search without a filter, for queries that are made ready on the GPU."
                    )
                # Of pageable memory, as NumPy's is: it returns when all is read.
                self._call("cuMemcpyHtoDAsync", address, array.ctypes.data, array.nbytes, stream)

    def download(self, array: npt.NDArray[Any], address: int, stream: int) -> None:
        """See Device."""
        if array.nbytes:
            with self._current():
                self._call("cuMemcpyDtoHAsync", array.ctypes.data, address, array.nbytes, stream)

    def clear(self, address: int, nbytes: int, stream: int) -> None:
        """See Device."""
        if nbytes:
            with self._current():
                self._call("cuMemsetD8Async", address, 0, nbytes, stream)

    def synchronize(self, stream: int) -> None:
        """See Device."""
        with self._current():
            self._call("cuStreamSynchronize", stream)

    def launch(self, launch: Launch, stream: int) -> None:
        """See Device."""
        if 0 in launch.grid:
            return
        kernel = self._kernel(launch)
        config = self._core.LaunchConfig(
            grid=launch.grid, block=launch.block, shmem_size=launch.shared
        )
        with self._current():
            try:
                self._core.launch(self._stream(stream), config, kernel, *launch.arguments)
            except Exception as error:  # cuda-core's own has no public name
                raise self._failed(launch, error) from error

    def _failed(self, launch: Launch, error: Exception) -> BackendError:
        return BackendError(f"{self.name}: {launch.kernel} of {launch.stem}.cu failed: {error}")

    def _kernel(self, launch: Launch) -> Any:
        key = launch.stem, launch.macros, launch.kernel, max(launch.shared, FREE_SHARED)
        found = self._kernels.get(key)
        if found is None:
            found = self._kernels.setdefault(key, self._loaded(launch))  # the first stays
        return found

    def _loaded(self, launch: Launch) -> Any:
        code = cubin(launch.stem, launch.macros, self.arch)
        with self._current():
            try:
                module = self._core.ObjectCode.from_cubin(code, name=launch.stem)
                kernel = module.get_kernel(launch.kernel)
            except Exception as error:
                raise self._failed(launch, error) from error
            if launch.shared > FREE_SHARED:
                kind = self._driver.CUfunction_attribute
                self._call(
                    "cuKernelSetAttribute", kind.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                    launch.shared, kernel.handle, self.number,
                )  # fmt: skip
        return kernel
