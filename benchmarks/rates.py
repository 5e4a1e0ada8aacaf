"""What a GPU allows: copies, products of matrices, and counts and products of a thread."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

Milliseconds = Callable[[Callable[[], object]], float]  # of what a function queues
COPY_BYTES = 1 << 32
SIDE = 8192  # of matrices
_TURNS = 4096  # of a thread's loop, of eight operations each
_SOURCE = """
extern "C" __global__ void rate(unsigned* out, int turns) {
    unsigned x[8], seed = threadIdx.x + blockIdx.x * 977;
    for (int i = 0; i < 8; i++) x[i] = seed * (2 * i + 1);
    for (int t = 0; t < turns; t++)
        for (int i = 0; i < 8; i++) x[i] = STEP;
    unsigned sum = 0;
    for (int i = 0; i < 8; i++) sum += x[i];
    if (sum == 0x12345678) *out = sum;
}
"""
_STEPS = {
    "popcount": "__popc(x[i]) + x[i] * 5",
    "dp4a": "__dp4a((int)x[i], (int)seed, (int)x[i])",
}


def measure(torch: Any, milliseconds: Milliseconds) -> tuple[dict[str, float], dict[str, str]]:
    """Each rate, bytes copied (read and written) or operations a second; and what went wrong."""
    rates, wrong = {}, {}
    measures: dict[str, Callable[[], float]] = {
        "copy": partial(_copy, torch, milliseconds),
        "bf16": partial(_product, torch, torch.bfloat16, milliseconds),
        "int8": partial(_product, torch, torch.int8, milliseconds),
        **{name: partial(_loop, torch, step, milliseconds) for name, step in _STEPS.items()},
    }
    for name, rate in measures.items():
        try:
            rates[name] = rate()
        except Exception as error:  # of this rate: others may be well
            wrong[name] = repr(error)
    return rates, wrong


def _copy(torch: Any, milliseconds: Milliseconds) -> float:
    source = torch.randint(0, 255, (COPY_BYTES,), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * COPY_BYTES / milliseconds(lambda: target.copy_(source)) * 1e3


def _product(torch: Any, dtype: Any, milliseconds: Milliseconds) -> float:
    """Multiplications and additions of the product of two matrices at random."""
    shape = SIDE, SIDE
    if dtype == torch.int8:
        a, b = (torch.randint(-127, 128, shape, dtype=dtype, device="cuda") for _ in range(2))
        b = b.t()
        return 2 * SIDE**3 / milliseconds(lambda: torch._int_mm(a, b)) * 1e3
    a, b = (torch.randn(shape, dtype=dtype, device="cuda") for _ in range(2))
    return 2 * SIDE**3 / milliseconds(lambda: a @ b) * 1e3


def _loop(torch: Any, step: str, milliseconds: Milliseconds) -> float:
    """Steps a second of all threads; a step is one population count, or one dp4a."""
    from cuda.core import LaunchConfig, ObjectCode, Stream, launch

    from vqindex.kernels.gpu import driver
    from vqindex.kernels.gpu.compile import compiled

    device = driver.device()
    out = torch.zeros(1, dtype=torch.int32, device="cuda")  # makes its context the thread's
    code = compiled("rate", _SOURCE.replace("STEP", step), (), device.arch)
    kernel = ObjectCode.from_cubin(code, name="rate").get_kernel("rate")
    blocks, threads = 8 * device.cores, 256
    config = LaunchConfig(grid=(blocks, 1, 1), block=threads)
    stream = Stream.from_handle(torch.cuda.current_stream().cuda_stream)

    def go() -> None:
        launch(stream, config, kernel, np.uint64(out.data_ptr()), np.int32(_TURNS))

    return blocks * threads * _TURNS * 8 / milliseconds(go) * 1e3
