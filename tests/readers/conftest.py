"""BasicSR imports torchvision for what is not used here; where there is none, its few names are made up."""

import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

_MADE_UP: dict[str, dict[str, object]] = {
    "torchvision": {"__version__": "0"},
    "torchvision.models": {},
    "torchvision.models.vgg": {},
    "torchvision.transforms": {},
    "torchvision.transforms.functional": {"normalize": None},
    "torchvision.transforms.functional_tensor": {"rgb_to_grayscale": None},
    "torchvision.utils": {"make_grid": None},
}


@pytest.fixture(scope="session")
def build_dataset() -> Callable[[dict[str, Any]], Any]:
    """BasicSR's own, by which its training makes its datasets from its options."""
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("torchvision") is None:
            for name, names in _MADE_UP.items():
                module = types.ModuleType(name)
                vars(module).update(names)
                patch.setitem(sys.modules, name, module)
                above, _, last = name.rpartition(".")
                if above:
                    setattr(sys.modules[above], last, module)
        build: Callable[[dict[str, Any]], Any] = pytest.importorskip("basicsr.data").build_dataset
    return build
