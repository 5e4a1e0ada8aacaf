"""Queries that are torch tensors, and answers as such. torch is never imported here."""

import sys
from math import prod
from typing import Any

from vqindex.errors import BackendError, DtypeError, ShapeError
from vqindex.results import SearchResult, bounds


def is_tensor(x: Any) -> bool:
    """Whether x is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def checked(q: Any, dim: int, number: int) -> tuple[Any, bool]:
    """Queries (nq, dim) float32 on the GPU of that number, and whether q was one of shape (dim,).

    The tensor's own memory where that is all of this already. Whether numbers are finite is not
    asked, for the answer would have to be waited for.
    Raises ShapeError, DtypeError or BackendError.
    """
    if not q.is_cuda or q.device.index != number:
        raise BackendError(
            f"queries must be NumPy arrays or on cuda:{number}, as this index is, got a tensor on "
            f"{q.device}: use q.to('cuda:{number}')."
        )
    if q.is_complex() or q.is_quantized or q.layout is not sys.modules["torch"].strided:
        raise DtypeError(f"queries must be real numbers, dense, got {q.dtype} ({q.layout}).")
    if q.ndim not in (1, 2) or q.shape[-1] != dim:
        raise ShapeError(f"queries must have shape (nq, {dim}) or ({dim},), got {tuple(q.shape)}")
    rows = q.detach().reshape(-1, dim).to(sys.modules["torch"].float32).contiguous()
    return rows, q.ndim == 1


def stream(number: int) -> int:
    """The handle of the caller's current stream."""
    return int(sys.modules["torch"].cuda.current_stream(number).cuda_stream)


def empty(shape: tuple[int, ...], dtype: str, number: int) -> Any:
    """A tensor on a GPU, of torch's own memory: good as long as it lives, on the current stream.

    BackendError where there is no room.
    """
    torch = sys.modules["torch"]
    kind = getattr(torch, dtype)
    try:
        return torch.empty(shape, dtype=kind, device=f"cuda:{number}")
    except torch.cuda.OutOfMemoryError as error:
        free, needed = torch.cuda.mem_get_info(number)[0], prod(shape) * kind.itemsize
        unused = torch.cuda.memory_reserved(number) - torch.cuda.memory_allocated(number)
        raise BackendError(
            f"a search needs {needed / 1e6:,.1f} MB of memory in one piece on cuda:{number}, where "
            f"{free / 1e6:,.1f} MB are free and torch keeps {unused / 1e6:,.1f} MB that it does not"
            " use: give those back by torch.cuda.empty_cache(), or ask fewer queries at a time."
        ) from error


def result(scores: Any, ids: Any, metric: str, single: bool, stats: dict[str, Any]) -> SearchResult:
    """What a search returns, of tensors."""
    if single:
        scores, ids = scores[0], ids[0]
    best, origin = bounds(metric)
    clipped = scores.clamp(max=best)
    return SearchResult(origin - clipped, ids, clipped, stats)
