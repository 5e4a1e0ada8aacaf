"""Codes by an anisotropic loss, on the CPU; see reference.anisotropic."""

import numpy as np

from vqindex.kernels.cpu.compile import kernel


@kernel
def descend(products, squares, lengths, scales, rounds, codes):
    """reference.anisotropic.descend: codes (n, m) int32 are rewritten, the others float32."""
    n, spaces, count = products.shape
    costs = np.empty(count, np.float32)
    for i in range(n):
        scale, left = scales[i], lengths[i]
        for s in range(spaces):
            left -= products[i, s, codes[i, s]]
        for _ in range(rounds):
            changed = False
            for s in range(spaces):
                old = codes[i, s]
                rest = left + products[i, s, old]
                for word in range(count):
                    own = products[i, s, word]
                    off = (rest - own) * scale
                    costs[word] = squares[s, word] - own - own + off * off
                best = 0
                for word in range(1, count):
                    if costs[word] < costs[best]:
                        best = word
                left = rest - products[i, s, best]
                codes[i, s] = best
                changed |= best != old
            if not changed:
                break
