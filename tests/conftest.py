"""What several test files share."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

# Before torch is imported, here and in processes that tests start: models this small only lose by sharing
# their work between threads, and lose tenfold where other processes want the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Shells start background jobs with Ctrl-C ignored, and processes pass that on to those they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Other work on the machine must not fail a test, and what one run of the tests shows, all show.
settings.register_profile("the same everywhere", deadline=None, derandomize=True)
settings.load_profile("the same everywhere")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Values of megabytes are not written out in the names of tests."""
    return f"{argname} of {len(val)}" if isinstance(val, (str, bytes)) and len(val) > 150 else None


@pytest.fixture(autouse=True)
def same_random_numbers_in_every_run() -> None:
    """What one run of the tests shows, all show."""
    import torch

    torch.manual_seed(0)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards are made in this process. Workers take seconds to start, and have tests of their own."""
    from factory import InProcess

    monkeypatch.setattr("sdflow_data.generation.engines.local.LocalEngine", lambda workers: InProcess())


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


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of scale 2 in a folder like a run of training's: a small ``tiny``, random weights.

    Its five cameras, all as frequent, have noise of one to five levels.
    """
    import torch
    from laws import randomise

    from sdflow.camera import KNOTS, Camera
    from sdflow.checkpoint import save_checkpoint
    from sdflow.model import SDFlow
    from sdflow_data.training.presets import preset_architecture

    folder = tmp_path_factory.mktemp("run") / "model"
    config = replace(preset_architecture("tiny", 2), lr_steps=2, degradation_steps=2)
    torch.manual_seed(0)
    model = randomise(SDFlow(config), 1, 0.05)
    cameras = [
        replace(Camera.identity(), strength=torch.full((3, KNOTS), level))
        for level in (1.0, 2.0, 3.0, 4.0, 5.0)
    ]
    assert model.degradation_flow.camera is not None
    model.degradation_flow.camera.load(cameras, [0.2] * 5)
    save_checkpoint(folder, model, {"steps": 0})
    return folder
