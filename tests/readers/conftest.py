"""BasicSR as the tests use it; where there is no torchvision, something stands in for it."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_STAND_IN = Path(__file__).with_name("stand_in")


@pytest.fixture(scope="session")
def stand_ins() -> list[str]:
    """What a path for modules needs besides."""
    return [str(_STAND_IN)] if importlib.util.find_spec("torchvision") is None else []


@pytest.fixture(scope="session")
def build_dataset(stand_ins: list[str]) -> Callable[[dict[str, Any]], Any]:
    """BasicSR's own, by which its training makes its datasets from its options."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in stand_ins:
            patch.syspath_prepend(folder)
        build: Callable[[dict[str, Any]], Any] = pytest.importorskip("basicsr.data").build_dataset
    return build
