"""albumentations asks the network for its newest version when it is imported, unless it is told not to."""

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

_STAND_IN = """
import os
if os.environ.get("NO_ALBUMENTATIONS_UPDATE") != "1":
    raise RuntimeError("would ask the network")
def __getattr__(name):
    return type(name, (), {})
"""


def imports(source: str) -> set[str]:
    """Packages that some line of a module imports, wherever in the module it stands."""
    nodes = list(ast.walk(ast.parse(source)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.split(".")[0] for name in plain | named}


def test_one_module_alone_imports_albumentations() -> None:
    importers = [
        path.relative_to(ROOT).as_posix()
        for package in ("sdflow", "sdflow_data", "cli")
        for path in sorted((ROOT / package).rglob("*.py"))
        if "albumentations" in imports(path.read_text(encoding="utf-8"))
    ]
    assert importers == ["sdflow_data/images/augment.py"]


def test_that_module_leaves_the_network_alone(tmp_path: Path) -> None:
    (tmp_path / "albumentations.py").write_text(_STAND_IN)
    environment = {name: value for name, value in os.environ.items() if name != "NO_ALBUMENTATIONS_UPDATE"}
    program = "import sys, sdflow_data.images.augment; print(sys.modules['albumentations'].__file__)"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert Path(run.stdout.strip()).parent == tmp_path
