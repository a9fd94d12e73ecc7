"""Keep what has been allocated, where the C library can be told to."""

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Of glibc's malloc.h."""


def keep_memory() -> None:
    """Ask the allocator to give nothing back to the system until the process ends.

    A step of training allocates gigabytes and frees them again. glibc gives such blocks back at
    once, and the next step pays for each of their pages anew: two thirds of the time of a wide
    layer's backward pass. For a process that trains; a library has no business to do this.

    Large pages, for the same reason: PyTorch reads the variable at its first allocation.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)  # never: 2 GiB, the largest number, a wide layer exceeds
