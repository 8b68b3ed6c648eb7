"""BasicSR as the tests use it."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def build_dataset() -> Callable[[dict[str, Any]], Any]:
    """BasicSR's own, by which its training makes its datasets from its options."""
    pytest.importorskip("basicsr")
    import real_torchvision  # noqa: F401
    from basicsr.data import build_dataset

    build: Callable[[dict[str, Any]], Any] = build_dataset
    return build
