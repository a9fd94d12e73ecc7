"""Settings of every test."""

import os

# Before torch is imported: many small tensors are faster on one thread, and workers share cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
