"""Whether trainers train on our exports: load the pairs, start, train 3 iterations, validate.

    python benchmarks/trainers.py --repository basicsr=../BasicSR --repository kair=../KAIR

Clones of trainers are given by the names of ``sdflow export --for``. ``--python basicsr=PROGRAM`` runs one in
its own environment. Each trainer gets small random pairs in every format that it reads. Its configuration is
filled in from one of its own templates, or from ``--template NAME=FILE``. It is shortened to 3 iterations and
one worker, without files to download (pretrained weights, perceptual losses). The trainer chooses the device;
Real-ESRGAN, traiNNer-redux and neosr need CUDA. ``--out`` keeps the output of the trainers. A folder of ``pip
install --target`` can serve as a clone, with a template.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import torch
from results import json_option, record  # type: ignore[import-not-found]

from sdflow.errors import SDFlowError
from sdflow_data.dataset.manifest import Dataset, read_dataset
from sdflow_data.export.run import ExportRequest, export
from sdflow_data.export.templates import Changes
from sdflow_data.export.trainers import TRAINERS
from sdflow_data.generation.import_pairs import ImportRequest, import_pairs

ITERATIONS, PATCH, SCALE, PHOTOGRAPHS = 3, 128, 4, 8
STEPS = ("loads", "starts", "trains", "validates")

_LOSSES_WITH_WEIGHTS = ("perceptual_opt", "dists_opt")

_BASICSR_STEPS = {
    "loads": r"Number of train images: *\d",
    "starts": r"Start training from",
    "trains": rf"iter: *{ITERATIONS},",
    "validates": r"Validation .*sdflow-val",
}


@dataclass(frozen=True)
class Run:
    """The start of a trainer.

    Attributes:
        command: the arguments of Python, without the configuration.
        steps: for each of `STEPS` a regular expression that the output matches if the step succeeded.
    """

    command: tuple[str, ...]
    steps: Mapping[str, str]

    def shortened(self, values: Mapping[str, Any]) -> Changes:
        """The changes to a configuration that shorten training, with validation at the last iteration."""
        train = values["datasets"]["train"]
        if "netG" in values:  # KAIR
            every = dict.fromkeys(("checkpoint_print", "checkpoint_test", "checkpoint_save"), ITERATIONS)
            every["checkpoint_print"] = 1
            short = {"dataloader_batch_size": 2, "dataloader_num_workers": 1}
            gpus = [0] if torch.cuda.is_available() else []
            return Changes({"datasets": {"train": short}, "train": every, "gpu_ids": gpus, "dist": False})
        batch = next(name for name in ("batch_size_per_gpu", "batch_size") if name in train)
        logger: dict[str, Any] = {"print_freq": 1, "save_checkpoint_freq": ITERATIONS, "use_tb_logger": False}
        total = "train" if "total_iter" in values.get("train", {}) else "logger"
        changes: dict[str, Any] = {
            "datasets": {"train": {batch: 2, "num_worker_per_gpu": 1}},
            "val": {"val_freq": ITERATIONS, "save_img": False},
            "logger": logger,
        }
        changes.setdefault(total, {})["total_iter"] = ITERATIONS
        weights = [name for name in values.get("path", {}) if name.startswith("pretrain_")]
        if weights:
            changes["path"] = dict.fromkeys(weights)
        if "num_gpu" in values and not torch.cuda.is_available():
            changes["num_gpu"] = 0
        return Changes(changes, removed=tuple(("train", loss) for loss in _LOSSES_WITH_WEIGHTS))


RUNS = {
    "basicsr": Run(("basicsr/train.py", "-opt"), _BASICSR_STEPS),
    "realesrgan": Run(("realesrgan/train.py", "-opt"), _BASICSR_STEPS),
    "hat": Run(("hat/train.py", "-opt"), _BASICSR_STEPS),
    "trainner": Run(("train.py", "-opt"), _BASICSR_STEPS | {"loads": r"Number of train paired images: *\d"}),
    "unpairedsr": Run(
        ("train_blind.py", "-opt"), _BASICSR_STEPS | {"loads": r"Number of train unpaired images: *\d"}
    ),
    "neosr": Run(("train.py", "-opt"), _BASICSR_STEPS),
    "kair": Run(
        ("main_train_psnr.py", "--opt"),
        {
            "loads": r"Number of train images: *\d",
            "starts": r"Networks name|netG",
            "trains": rf"iter: *{ITERATIONS},",
            "validates": r"Average PSNR",
        },
    ),
}


def random_pairs(folder: Path) -> Dataset:
    """A dataset of aligned random pictures."""
    random = np.random.default_rng(0)
    for number in range(PHOTOGRAPHS):
        coarse = random.integers(0, 256, (16, 16, 3), np.uint8)
        hr = cv2.resize(coarse, (2 * PATCH, PATCH), interpolation=cv2.INTER_CUBIC)
        lr = cv2.resize(hr, None, fx=1 / SCALE, fy=1 / SCALE, interpolation=cv2.INTER_AREA)
        for side, picture in (("hr", hr), ("lr", lr)):
            (folder / side).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / side / f"{number}.png"), picture)
    import_pairs(ImportRequest(patch_size=PATCH), folder / "hr", folder / "lr", folder / "pairs", workers=1)
    return read_dataset(folder / "pairs")


def try_out(
    name: str, format: str, repository: Path, template: Path, python: str, dataset: Dataset, out: Path
) -> dict[str, str]:
    """For each step ``yes`` or ``no``; where the export fails, why."""
    trainer, run = TRAINERS[name], RUNS[name]
    try:
        request = ExportRequest(format, name, split="train=0.75,val=0.25", template=template)
        config = export(dataset, out / "export", request, workers=1).config
    except SDFlowError as error:
        return dict.fromkeys(STEPS, f"no export: {error}")
    assert config is not None and trainer.configuration is not None
    notation = trainer.configuration.notation
    text = config.read_text(encoding="utf-8")
    short = out / config.name
    short.write_text(notation.edit(text, run.shortened(notation.read(text))), encoding="utf-8")
    paths = [str(repository), os.environ.get("PYTHONPATH", "")]
    with (out / "log.txt").open("w") as log:
        subprocess.run(
            [python, *run.command, str(short)],
            cwd=repository,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=1800,
        )
    printed = (out / "log.txt").read_text(errors="replace")
    return {step: "yes" if re.search(run.steps[step], printed) else "no" for step in STEPS}


def version_of(name: str, repository: Path) -> str:
    """The version of an installed trainer, or date and commit of a clone."""
    for installed in repository.glob(f"{name}-*.dist-info"):
        return installed.name.removeprefix(f"{name}-").removesuffix(".dist-info")
    done = subprocess.run(
        ["git", "-C", str(repository), "log", "-1", "--format=%cs %h"], capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"


def by_name(items: tuple[str, ...], option: str) -> dict[str, str]:
    """Parse ``NAME=VALUE`` items, with the names of trainers."""
    named = dict(item.partition("=")[::2] for item in items)
    unknown = [name for name in named if name not in RUNS]
    if unknown:
        expected = f"NAME=VALUE with a name of {', '.join(RUNS)}"
        raise click.UsageError(f"{option}: expected {expected}, found {unknown[0]!r}")
    return named


@click.command()
@click.option("--repository", "repositories", multiple=True, required=True, metavar="NAME=FOLDER")
@click.option("--python", "programs", multiple=True, metavar="NAME=PROGRAM")
@click.option("--template", "templates", multiple=True, metavar="NAME=FILE")
@click.option("--out", type=click.Path(path_type=Path), help="A new folder.  [default: a temporary one]")
@json_option
def main(
    repositories: tuple[str, ...], programs: tuple[str, ...], templates: tuple[str, ...], out: Path | None
) -> None:
    """Run the trainers and print the table."""
    out = (out or Path(tempfile.mkdtemp())).resolve()
    pythons, configurations = by_name(programs, "--python"), by_name(templates, "--template")
    dataset = random_pairs(out / "data")
    print(f"| trainer | version | format | {' | '.join(STEPS)} |")
    print("|---|---|---|" + "---|" * len(STEPS))
    rows = []
    for name, folder in by_name(repositories, "--repository").items():
        repository, configuration = Path(folder).resolve(), TRAINERS[name].configuration
        assert configuration is not None
        template = Path(configurations.get(name, repository / configuration.template)).resolve()
        for format in TRAINERS[name].formats:
            own = out / f"{name}-{format}"
            own.mkdir(parents=True)
            python = pythons.get(name, sys.executable)
            found = try_out(name, format, repository, template, python, dataset, own)
            row = {"trainer": TRAINERS[name].title, "version": version_of(name, repository), "format": format}
            rows.append(row | found)
            print(f"| {' | '.join(rows[-1].values())} |", flush=True)
    print(f"\nOutput of the trainers: {out}/*/log.txt")
    record(rows)


if __name__ == "__main__":
    main()
