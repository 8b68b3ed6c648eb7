"""What other trainers read, and the configuration with which each of them reads an export."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sdflow.errors import ArgumentError


@dataclass(frozen=True)
class Layout:
    """What a configuration says of an export.

    Attributes:
        out: the export's folder, absolute: trainers run in folders of their own.
        format: of the export.
        patch_size, scale: HR patches are ``patch_size`` pixels wide, LR ones ``scale`` times less.
        splits: names of the split's parts, empty without a split.
    """

    out: Path
    format: str
    patch_size: int
    scale: int
    splits: tuple[str, ...]

    @property
    def roles(self) -> dict[str, Path]:
        """The folders to train on and, if the split has such a part, to validate on."""
        if not self.splits:
            return {"train": self.out}
        return {role: self.out / role for role in ("train", "val") if role in self.splits}


@dataclass(frozen=True)
class Trainer:
    """A reader of exports.

    Attributes:
        title: what it calls itself.
        formats: those that it reads right, the best one first.
        config_name: the file with its configuration.
        config: makes it.
        misreads: why it shall not get another format, where there is more to say than that it has no reader.
        split_names: how the parts of a split may be called; any way if empty.
    """

    title: str
    formats: tuple[str, ...]
    config_name: str
    config: Callable[[Layout], str]
    misreads: dict[str, str] = field(default_factory=dict)
    split_names: tuple[str, ...] = ()

    def choose_format(self, asked: str | None) -> str:
        """The format asked for, or the best one.

        Raises:
            SDFlowError: this trainer would misread what was asked for.
        """
        if asked is None or asked in self.formats:
            return asked or self.formats[0]
        reason = self.misreads.get(asked, f"it has no reader for {asked}")
        expected = " or ".join(self.formats)
        raise ArgumentError("format", f"{asked} is not for {self.title}: {reason}; expected {expected}")

    def check_splits(self, names: tuple[str, ...]) -> None:
        """Refuse parts of a split that this trainer would not find or not tell apart.

        Raises:
            SDFlowError: no part is called ``train``, or one is called what this trainer does not know.
        """
        if names and "train" not in names:
            found = ", ".join(names)
            raise ArgumentError("split", f"expected a part called train for {self.title}, found {found}")
        unknown = [name for name in names if self.split_names and name not in self.split_names]
        if unknown:
            raise ArgumentError(
                "split", f"{self.title} knows the parts {', '.join(self.split_names)}, found {unknown[0]!r}"
            )


def _quoted(path: Path) -> str:
    """A path as a string of JSON, YAML and TOML alike."""
    return json.dumps(str(path), ensure_ascii=False)


def _ending(layout: Layout) -> str:
    return ".lmdb" if layout.format == "lmdb" else ""


def _basicsr(layout: Layout) -> str:
    text = f"scale: {layout.scale}\ndatasets:\n"
    for role, folder in layout.roles.items():
        text += f"""\
  {role}:
    name: sdflow-{role}
    type: PairedImageDataset
    dataroot_gt: {_quoted(folder / ("hr" + _ending(layout)))}
    dataroot_lq: {_quoted(folder / ("lr" + _ending(layout)))}
"""
        if layout.format == "folder":
            text += f"    meta_info_file: {_quoted(folder / 'meta_info.txt')}\n"
        text += f"    io_backend: {{type: {'lmdb' if layout.format == 'lmdb' else 'disk'}}}\n"
        if role == "train":
            text += f"""\
    gt_size: {layout.patch_size}  # or any smaller multiple of {layout.scale}
    use_hflip: true
    use_rot: true
    num_worker_per_gpu: 8
    batch_size_per_gpu: 16
    dataset_enlarge_ratio: 1
    prefetch_mode: ~
"""
    return text


def _trainner(layout: Layout) -> str:
    text = f"scale: {layout.scale}\ndatasets:\n"
    for role, folder in layout.roles.items():
        text += f"""\
  {role}:
    name: sdflow-{role}
    type: pairedimagedataset
    dataroot_gt: [{_quoted(folder / "hr")}]
    dataroot_lq: [{_quoted(folder / "lr")}]
    io_backend: {{type: disk}}
"""
        if role == "train":
            text += f"""\
    lq_size: {layout.patch_size // layout.scale}  # or anything smaller
    use_hflip: true
    use_rot: true
    num_worker_per_gpu: 8
    batch_size_per_gpu: 16
"""
    return text


def _neosr(layout: Layout) -> str:
    text = f"scale = {layout.scale}\n"
    for role, folder in layout.roles.items():
        text += f"""
[datasets.{role}]
name = "sdflow-{role}"
type = "paired"
dataroot_gt = {_quoted(folder / ("hr" + _ending(layout)))}
dataroot_lq = {_quoted(folder / ("lr" + _ending(layout)))}
"""
        if role == "train":
            text += f"""\
patch_size = {layout.patch_size // layout.scale}  # in LR pixels; or anything smaller
batch_size = 16
"""
        if layout.format == "lmdb":
            text += f'\n[datasets.{role}.io_backend]\ntype = "lmdb"\n'
    return text


def _kair(layout: Layout) -> str:
    datasets: dict[str, dict[str, object]] = {}
    for role, folder in layout.roles.items():
        name = {"train": "train", "val": "test"}[role]
        datasets[name] = {
            "name": f"sdflow-{role}",
            "dataset_type": "sr",
            "dataroot_H": str(folder / "hr"),
            "dataroot_L": str(folder / "lr"),
        }
    datasets["train"] |= {
        "H_size": layout.patch_size,
        "dataloader_shuffle": True,
        "dataloader_num_workers": 8,
        "dataloader_batch_size": 16,
    }
    config = {"scale": layout.scale, "n_channels": 3, "datasets": datasets}
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _huggingface(layout: Layout) -> str:
    if layout.format == "folder":
        source = f'"imagefolder", data_dir={_quoted(layout.out)}'
    else:
        pattern = {"webdataset": "pairs-*.tar", "parquet": "pairs-*.parquet"}[layout.format]
        folders = {split: layout.out / split for split in layout.splits} or {"train": layout.out}
        files = ", ".join(f'"{split}": {_quoted(folder / pattern)}' for split, folder in folders.items())
        source = f'"{layout.format}", data_files={{{files}}}'
    columns = ("hr.png", "lr.png") if layout.format == "webdataset" else ("hr", "lr")
    return f"""\
---
task_categories:
- image-to-image
---
Pairs for super-resolution, scale {layout.scale}: HR patches of {layout.patch_size} pixels in column
`{columns[0]}`, LR patches in column `{columns[1]}`.

```python
from datasets import load_dataset

pairs = load_dataset({source})
```
"""


TRAINERS = {
    "basicsr": Trainer(
        title="BasicSR",
        formats=("folder", "lmdb"),
        config_name="basicsr.yml",
        config=_basicsr,
    ),
    "trainner": Trainer(
        title="traiNNer-redux",
        formats=("folder",),
        misreads={"lmdb": "its reader of paired LMDB is broken"},
        config_name="trainner.yml",
        config=_trainner,
    ),
    "neosr": Trainer(
        title="neosr",
        formats=("folder", "lmdb"),
        config_name="neosr.toml",
        config=_neosr,
    ),
    "kair": Trainer(
        title="KAIR",
        formats=("folder",),
        misreads={"lmdb": "its reader of pairs lists picture files and would find none"},
        config_name="kair.json",
        config=_kair,
    ),
    "huggingface": Trainer(
        title="Hugging Face datasets",
        formats=("folder", "parquet", "webdataset"),
        misreads={
            "hdf5": "it takes every array in a file for a column of one table",
        },
        config_name="README.md",
        config=_huggingface,
        split_names=("train", "val", "test"),
    ),
}
