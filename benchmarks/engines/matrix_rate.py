"""How fast this machine multiplies matrices: what no step of training can surpass."""

import time

import torch

from engines.worker import report

SIDE, REPEATS = 2048, 12


def measure_rate(dtype: torch.dtype) -> float:
    """Operations per second of the best of several products of two square matrices."""
    a, b = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    out = a @ b
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - started)
    return 2 * SIDE**3 / best


if __name__ == "__main__":
    torch.set_num_threads(2)
    report(
        {str(d).removeprefix("torch."): measure_rate(d) for d in (torch.float32, torch.bfloat16)}
    )
