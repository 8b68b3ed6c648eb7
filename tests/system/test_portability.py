"""Nothing is imported that Windows lacks, and what it lacks is asked for before it is called."""

import ast
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from factory import make, write_pictures
from small_training import ARCHITECTURE, CONFIG

from sdflow.checkpoint import load_checkpoint
from sdflow.training import Trainer
from sdflow_data.dataset.manifest import read_dataset
from sdflow_data.dataset.reading import PairedShards
from sdflow_data.dataset.verify import verify
from sdflow_data.export import FORMATS
from sdflow_data.export.run import ExportRequest, export
from sdflow_data.models.degraders import load_degrader
from sdflow_data.models.tiles import downscale_picture, plan_pictures
from sdflow_data.system.lock import LOCK, OutputLock
from sdflow_data.training.run_folder import RunFolder, RunState

ROOT = Path(__file__).parents[2]
POSIX_ONLY = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix"}
POSIX_CALLS = {
    "pthread_sigmask",
    "getuid",
    "fork",
    "mkfifo",
    "sysconf",
    "sched_getaffinity",
    "killpg",
    "setsid",
}


def sources() -> list[Path]:
    return [path for folder in ("sdflow", "sdflow_data", "cli") for path in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_needs_what_windows_lacks(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            assert not POSIX_ONLY & {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is None or node.module.split(".")[0] not in POSIX_ONLY
        elif isinstance(node, ast.Attribute) and node.attr in POSIX_CALLS:
            assert f'"{node.attr}")' in text, f"{node.attr} without a hasattr"


class OpenFiles:
    """Windows neither moves nor removes a file that is open, nor opens a folder. Here all of that is allowed,
    and refused by this."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refused: list[str] = []
        for name in ("replace", "rename", "unlink", "rmdir"):
            monkeypatch.setattr(Path, name, self._guarded(getattr(Path, name)))
        # Windows' rmtree goes by paths.
        monkeypatch.setattr("shutil._use_fd_functions", False)
        opened = os.open

        def open_file(path: Any, *arguments: Any, **options: Any) -> int:
            if os.path.isdir(path):  # noqa: PTH112
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return opened(path, *arguments, **options)

        monkeypatch.setattr(os, "open", open_file)

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(path: Path, *others: Any, **options: Any) -> Any:
            for each in (path, *others):
                if Path(each).name.startswith((LOCK, ".filelock")):
                    continue  # what filelock does of its own, it does otherwise on Windows
                if any(self._touches(each, Path(link)) for link in Path("/proc/self/fd").iterdir()):
                    self.refused.append(Path(each).name)
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(each))
            return call(path, *others, **options)

        return guarded

    @staticmethod
    def _touches(path: Any, link: Path) -> bool:
        try:
            opened = link.readlink()
        except OSError:
            return False
        return Path(opened).is_relative_to(Path(path).absolute())


@pytest.fixture
def like_windows(monkeypatch: pytest.MonkeyPatch) -> OpenFiles:
    """Without the modules and calls that Windows lacks."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("open files cannot be listed here")
    for module in POSIX_ONLY:
        monkeypatch.setitem(sys.modules, module, None)
    for name in POSIX_CALLS | {"register_at_fork", "mkfifo"}:
        monkeypatch.delattr(os, name, raising=False)
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)
    return OpenFiles(monkeypatch)


def test_what_windows_refuses_is_not_asked_for(tmp_path: Path, like_windows: OpenFiles) -> None:
    hr = write_pictures(tmp_path / "hr")
    make(hr, tmp_path / "pairs", shards=range(0, 1))
    make(hr, tmp_path / "pairs")
    assert verify(tmp_path / "pairs") == []
    pairs = PairedShards(tmp_path / "pairs")
    assert pairs[0][0].shape == (3, 16, 16)
    for format in FORMATS:
        export(read_dataset(tmp_path / "pairs"), tmp_path / format, ExportRequest(format), workers=1)
    for job in plan_pictures(hr, tmp_path / "low"):
        downscale_picture(job, load_degrader("bicubic", 2))
    run, trainer = RunFolder(tmp_path / "run"), Trainer(ARCHITECTURE, CONFIG)
    with OutputLock(tmp_path / "run", None):
        run.claim({})
        for _ in range(2):
            run.save(RunState(), trainer, {})
        assert run.load(trainer.load_state_dict) == RunState()
    assert load_checkpoint(run.model).parts == trainer.model.parts
    assert like_windows.refused == []
