"""albumentations asks the network for its newest version when it is imported, unless it is told not to."""

import os
import subprocess
import sys
from pathlib import Path

_STAND_IN = """
import os
if os.environ.get("NO_ALBUMENTATIONS_UPDATE") != "1":
    raise RuntimeError("would ask the network")
def __getattr__(name):
    return type(name, (), {})
"""

_IMPORT_EACH = """
import importlib, os, pkgutil, sys
# once: the modules are imported in forks of this process
import cv2, h5py, lmdb, pandas, pyarrow.parquet, scipy.ndimage, torch.utils.data, tqdm
import sdflow, sdflow_cli, sdflow_data

assert "albumentations" not in sys.modules
importers = []
for package in (sdflow, sdflow_data, sdflow_cli):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        child = os.fork()
        if not child:
            importlib.import_module(module.name)
            os._exit(7 if "albumentations" in sys.modules else 0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 7), f"{module.name} would ask the network"
        importers += [module.name] * (status == 7)
print(*importers)
"""


def test_whatever_module_is_imported_first_the_network_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "albumentations.py").write_text(_STAND_IN)
    environment = {name: value for name, value in os.environ.items() if name != "NO_ALBUMENTATIONS_UPDATE"}
    environment |= {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", _IMPORT_EACH], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert {"sdflow_data.images.augment", "sdflow_data.models.degraders"} <= set(run.stdout.split())
