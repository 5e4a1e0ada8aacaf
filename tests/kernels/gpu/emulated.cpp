// Kernels on the emulated block of tests/cuda, as a library: memory is the caller's own.
#include "emulator.hpp"
#include KERNELS

// Run a kernel; `given` holds the address of each argument. Whether it is there.
extern "C" __attribute__((visibility("default"))) int vq_run(
    const char* name, unsigned x, unsigned y, unsigned threads, size_t bytes, void** given) {
    auto found = emulator::kernels().find(name);
    if (found == emulator::kernels().end()) return 0;
    found->second(x, y, threads, bytes, given);
    return 1;
}
