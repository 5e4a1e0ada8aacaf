"""Queries that are torch tensors, and answers as such. torch is never imported here."""

import sys
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
    """A tensor on a GPU, of torch's own memory: good as long as it lives, on the current stream."""
    torch = sys.modules["torch"]
    return torch.empty(shape, dtype=getattr(torch, dtype), device=f"cuda:{number}")


def result(scores: Any, ids: Any, metric: str, single: bool, stats: dict[str, Any]) -> SearchResult:
    """What a search returns, of tensors."""
    if single:
        scores, ids = scores[0], ids[0]
    best, origin = bounds(metric)
    clipped = scores.clamp(max=best)
    return SearchResult(origin - clipped, ids, clipped, stats)
