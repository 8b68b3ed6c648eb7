"""Results of benchmarks as JSON, with the commit and the machine, beside the printed tables."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import torch

from sdflow.files import write_file

_KEY = "benchmarks.json"


def _remember(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    context.meta[_KEY] = path


json_option = click.option(
    "--json",
    type=click.Path(dir_okay=False, path_type=Path),
    expose_value=False,
    callback=_remember,
    help="Write the results as JSON too, with the commit and the machine.",
)
"""``--json FILE``, for `record`; it is not passed to the command."""


def record(results: Any) -> None:
    """Write results to the file of ``--json``, if the running command got this option.

    Args:
        results: plain values, or objects with ``to_dict`` or ``tolist``.
    """
    context = click.get_current_context()
    path = context.meta[_KEY]
    if path is not None:
        recorded = {
            "benchmark": Path(sys.argv[0]).stem,
            "settings": context.params,
            "commit": commit(),
            "machine": machine(),
            "results": results,
        }
        write_file(path, (json.dumps(recorded, indent=2, default=_plain) + "\n").encode())


def commit() -> str | None:
    """The checked-out commit, with ``-dirty`` if files differ from it; None outside of a clone."""
    call = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    found = subprocess.run([*call, "--exclude=*"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def machine() -> dict[str, Any]:
    """The hardware and software that figures depend on."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    models = Path("/proc/cpuinfo")
    if models.is_file():
        for line in models.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _plain(value: Any) -> Any:
    for name in ("to_dict", "tolist"):
        if hasattr(value, name):
            return getattr(value, name)()
    return str(value)
