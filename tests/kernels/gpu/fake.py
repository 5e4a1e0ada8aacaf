"""A GPU of this machine's memory, which keeps what is launched, and may carry it out."""

import ctypes

import numpy as np

from vqindex.kernels.gpu.driver import Memory


class FakeDevice:
    """A driver.Device whose addresses are real ones, of NumPy arrays filled with rubbish.

    run        called with each launch, to carry it out; None to keep launches only
    launches   all of them, with their streams
    free       bytes of memory that it says are free
    """

    name, arch, cores, shared_bytes, stream = "fake", "sm_90", 4, 227 * 1024, 7

    def __init__(self, run=None, number=0, free=1 << 30):
        self.run, self.number, self.free = run, number, free
        self.launches, self.taken, self.waits = [], {}, 0

    def free_bytes(self):
        return self.free - sum(len(array) for array in self.taken.values())

    def allocate(self, nbytes):
        if nbytes == 0:
            return Memory(0, 0)
        array = np.full(nbytes + 512, 0xA5, np.uint8)
        address = -(-array.ctypes.data // 256) * 256
        self.taken[address] = array
        return Memory(address, nbytes, self.taken.pop)

    def upload(self, address, array, stream):
        assert array.flags.c_contiguous
        self.check(address, array.nbytes)
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def download(self, array, address, stream):
        assert array.flags.c_contiguous
        self.check(address, array.nbytes)
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def clear(self, address, nbytes, stream):
        self.check(address, nbytes)
        ctypes.memset(address, 0, nbytes)

    def synchronize(self, stream):
        self.waits += 1

    def launch(self, launch, stream):
        self.launches.append((launch, stream))
        if self.run is not None and 0 not in launch.grid:
            self.run(launch)

    def check(self, address, nbytes):
        """What is read or written was allocated."""
        inside = any(
            start <= address and address + nbytes <= array.ctypes.data + len(array)
            for start, array in self.taken.items()
        )
        assert inside or nbytes == 0, (hex(address), nbytes)

    def kernels(self):
        """The names of the kernels launched, in order."""
        return [launch.kernel for launch, _ in self.launches]
