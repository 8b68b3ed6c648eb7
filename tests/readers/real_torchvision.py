"""Imports torchvision itself where only a torch for CPUs is, and gives BasicSR 1.4.2 the module it misses.

The wheels of torchvision in the package index hold operators that want torch with CUDA, 5 GB of it. Nothing
that the readers do needs an operator, but torchvision does not import without the names of two. It lies in a
folder of its own, out of the sight of programs that import it without need. BasicSR 1.4.2 imports a function
from a module that torchvision has renamed since; the repository of BasicSR imports it from where it is.
"""

import importlib
import sys
from pathlib import Path

import torch

FOLDER = Path(sys.prefix) / "torchvision"
"""Where setup.sh puts it."""

sys.path.append(str(FOLDER))
try:
    importlib.import_module("torchvision")
except RuntimeError as error:
    if "operator torchvision::" not in str(error):
        raise
    for _name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[_name]
    for _name in ("nms", "qnms"):
        torch.library.define(
            f"torchvision::{_name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )
_functional = importlib.import_module("torchvision.transforms.functional")
sys.modules["torchvision.transforms.functional_tensor"] = _functional
