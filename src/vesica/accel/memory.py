"""Keep what has been allocated, or give it back, where the C library can be told to."""

import ctypes
import os
import sys
from typing import Any

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
    mallopt = _from_c_library("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)  # never: 2 GiB, the largest number, a wide layer exceeds


def give_memory_back() -> None:
    """Give back what is kept and not in use: for a process that lets others work from now on.

    One that has measured a wide network and computed its frozen layers keeps 3 to 4 GB.
    """
    trim = _from_c_library("malloc_trim")
    if trim is not None:
        trim(0)


def _from_c_library(name: str) -> Any:
    """A function of glibc's; other C libraries have none."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
