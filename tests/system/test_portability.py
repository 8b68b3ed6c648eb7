"""Nothing is imported that Windows lacks, and what it lacks is asked for before it is called."""

import ast
from pathlib import Path

import pytest

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
