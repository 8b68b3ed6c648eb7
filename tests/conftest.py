"""What several test files share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # other work on the machine must not fail a test
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def shared_path() -> Callable[[str], Path]:
    """Finds reference data that is not part of the repository, and skips the test where there is none."""

    def find(name: str) -> Path:
        beside = Path(__file__).parents[2] / "shared"
        path = Path(os.environ.get("SDFLOW_SHARED", beside)) / name
        if not path.exists():
            pytest.skip(f"needs {path} (SDFLOW_SHARED names its folder)")
        return path

    return find
