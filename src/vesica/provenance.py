"""What a result was made with: command, versions, device."""

import platform
import shlex
import sys
from importlib.metadata import version
from typing import Any

from vesica import __version__

PACKAGES = ("torch", "torchvision", "lightning-fabric", "numpy", "scipy", "pillow")
WHERE_LOADED = {"segmentation_models_pytorch": "segmentation-models-pytorch", "timm": "timm"}
"""Packages by their modules' names: a result depends on them if they were loaded for it."""


def command_line() -> str:
    """The command that is running, as one would type it again."""
    program = "vesica" if sys.argv[0].endswith(("vesica", "__main__.py")) else sys.argv[0]
    return shlex.join([program, *sys.argv[1:]])


def versions() -> dict[str, str]:
    """Vesica's, Python's and those of the packages that results depend on."""
    known = {"vesica": __version__, "python": platform.python_version()}
    loaded = [name for module, name in WHERE_LOADED.items() if module in sys.modules]
    return known | {name: version(name) for name in (*PACKAGES, *loaded)}


def device_name(device: Any) -> str:
    """The processor or accelerator in words, with the number of threads of a processor."""
    import torch

    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}"
    return f"CPU {platform.machine()}, {torch.get_num_threads()} threads"
