"""What each trainer is known to read is what it gets, and its configuration says where and how large."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from pairs import write_dataset

from sdflow.errors import SDFlowError
from sdflow_data.dataset.manifest import Dataset
from sdflow_data.export import FORMATS
from sdflow_data.export.run import Request, export
from sdflow_data.export.trainers import TRAINERS

AWKWARD = 'hr "lr" é # : {x}'
"""A folder's name that wants quoting in every notation, and holds the names of the folders below it."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_dataset(tmp_path_factory.mktemp("dataset"), scale=4, patch_size=32)


def configure(
    dataset: Dataset, out: Path, trainer: str, format: str | None = None, split: str | None = None
) -> Any:
    """Export and read the configuration."""
    summary = export(dataset, out, Request(format, trainer, split=split), workers=1)
    assert summary.config is not None
    text = summary.config.read_text(encoding="utf-8")
    if summary.config.suffix == ".toml":
        return pytest.importorskip("tomllib").loads(text)
    return json.loads(text) if summary.config.suffix == ".json" else yaml.safe_load(text)


@pytest.mark.parametrize(
    ("trainer", "format"),
    [
        (name, format)
        for name, trainer in TRAINERS.items()
        for format in sorted(set(FORMATS) - set(trainer.formats))
    ],
)
def test_a_format_that_a_trainer_would_misread_is_refused_with_a_reason(
    dataset: Dataset, tmp_path: Path, trainer: str, format: str
) -> None:
    with pytest.raises(SDFlowError, match=rf"format: {format} is not for .*: it.*; expected folder"):
        export(dataset, tmp_path / "out", Request(format, trainer))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_trainer_without_a_format_gets_the_folders_that_all_read(
    dataset: Dataset, tmp_path: Path, trainer: str
) -> None:
    assert export(dataset, tmp_path, Request(trainer=trainer), workers=1).format == "folder"


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_split_without_a_part_to_train_on_is_refused(
    dataset: Dataset, tmp_path: Path, trainer: str
) -> None:
    with pytest.raises(SDFlowError, match=r"split: expected a part called train"):
        export(dataset, tmp_path / "out", Request(trainer=trainer, split="a=0.5,b=0.5"))


def test_parts_that_hugging_face_would_take_for_training_data_are_refused(
    dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(SDFlowError, match="knows the parts train, val, test, found 'mine'"):
        export(dataset, tmp_path / "out", Request(trainer="huggingface", split="train=0.5,mine=0.5"))


def assert_pairs_by_name(gt: Path, lq: Path) -> None:
    """Two flat folders of the same 30 PNG files and nothing else; HR is exactly 4 times LR; 8-bit colour."""
    names = sorted(path.name for path in gt.iterdir())
    assert names == sorted(path.name for path in lq.iterdir())
    assert len(names) == 30
    for name in names:
        hr, lr = (cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED) for folder in (gt, lq))
        assert (hr.shape, hr.dtype, lr.shape, lr.dtype) == ((32, 32, 3), np.uint8, (8, 8, 3), np.uint8)


def test_basicsr_gets_its_two_folders_and_their_list(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / AWKWARD
    config = configure(dataset, out, "basicsr")
    assert config["scale"] == 4
    train = config["datasets"]["train"]
    assert (train["type"], train["io_backend"]) == ("PairedImageDataset", {"type": "disk"})
    assert (train["dataroot_gt"], train["dataroot_lq"]) == (str(out / "hr"), str(out / "lr"))
    assert train["gt_size"] == 32
    assert_pairs_by_name(Path(train["dataroot_gt"]), Path(train["dataroot_lq"]))
    listed = [line.split(" ")[0] for line in Path(train["meta_info_file"]).read_text().splitlines()]
    assert sorted(listed) == sorted(path.name for path in Path(train["dataroot_gt"]).iterdir())


@pytest.mark.parametrize("trainer", ["basicsr", "neosr"])
def test_databases_end_in_lmdb_and_their_lists_cut_at_the_first_dot_are_their_keys(
    dataset: Dataset, tmp_path: Path, trainer: str
) -> None:
    import lmdb

    train = configure(dataset, tmp_path / AWKWARD, trainer, "lmdb")["datasets"]["train"]
    assert train["io_backend"] == {"type": "lmdb"}
    for folder in (train["dataroot_gt"], train["dataroot_lq"]):
        assert folder.endswith(".lmdb")
        listed = [line.split(".")[0] for line in (Path(folder) / "meta_info.txt").read_text().splitlines()]
        with lmdb.open(folder, readonly=True, lock=False) as database, database.begin() as transaction:
            assert sorted(listed) == [key.decode("ascii") for key, _ in transaction.cursor()]


def test_trainner_gets_lists_of_folders_and_sizes_in_lr_pixels(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / AWKWARD
    config = configure(dataset, out, "trainner", split="train=0.8,val=0.2")
    train, val = config["datasets"]["train"], config["datasets"]["val"]
    assert train["type"] == val["type"] == "pairedimagedataset"
    assert (train["dataroot_gt"], train["dataroot_lq"]) == ([str(out / "train/hr")], [str(out / "train/lr")])
    assert (train["lq_size"], "gt_size" in train) == (8, False)  # it refuses a file with both
    assert "meta_info" not in train  # whose reader is broken
    assert val["dataroot_lq"] == [str(out / "val/lr")]


def test_neosr_finds_each_lr_file_by_replacing_the_root(dataset: Dataset, tmp_path: Path) -> None:
    config = configure(dataset, tmp_path / AWKWARD, "neosr")
    train = config["datasets"]["train"]
    assert (config["scale"], train["type"], train["patch_size"]) == (4, "paired", 8)
    assert_pairs_by_name(Path(train["dataroot_gt"]), Path(train["dataroot_lq"]))
    for hr in Path(train["dataroot_gt"]).iterdir():
        assert Path(str(hr).replace(train["dataroot_gt"], train["dataroot_lq"])).is_file()
    assert not {"meta_info", "meta_info_file"} & train.keys()  # whose reader is broken


def test_kair_pairs_by_the_order_of_paths(dataset: Dataset, tmp_path: Path) -> None:
    config = configure(dataset, tmp_path / AWKWARD, "kair", split="train=0.8,val=0.2")
    train, test = config["datasets"]["train"], config["datasets"]["test"]  # the only two that it knows
    assert (config["scale"], config["n_channels"]) == (4, 3)
    assert train["dataset_type"] == test["dataset_type"] == "sr"
    assert train["H_size"] == 32
    for section in (train, test):
        hr, lr = (sorted(Path(section[key]).iterdir()) for key in ("dataroot_H", "dataroot_L"))
        assert [path.name for path in hr] == [path.name for path in lr]


@pytest.mark.parametrize("format", ["folder", "parquet", "webdataset"])
def test_hugging_face_gets_a_card_whose_python_loads_the_files(
    dataset: Dataset, tmp_path: Path, format: str
) -> None:
    out = tmp_path / AWKWARD
    export(dataset, out, Request(format, "huggingface", split="train=0.8,val=0.2"), workers=1)
    code = re.search(r"```python\n(.*)```", (out / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    call = ast.parse(code[1]).body[-1].value  # type: ignore[attr-defined]
    builder = ast.literal_eval(call.args[0])
    named = ast.literal_eval(call.keywords[0].value)
    if format == "folder":
        assert (builder, named) == ("imagefolder", str(out))
    else:
        assert builder == format
        assert all(list(Path(files).parent.glob(Path(files).name)) for files in named.values())
        assert list(named) == ["train", "val"]


def test_parts_that_are_neither_for_training_nor_validation_stay_out_of_the_configuration(
    dataset: Dataset, tmp_path: Path
) -> None:
    config = configure(dataset, tmp_path, "basicsr", split="test=0.2,val=0.2,train=0.6")
    assert list(config["datasets"]) == ["train", "val"]
    assert (tmp_path / "test" / "hr").is_dir()


def test_the_command_names_what_it_wrote(dataset: Dataset, tmp_path: Path) -> None:

    command = [
        sys.executable,
        "-c",
        "from sdflow_cli.main import main; main()",
        "export",
        str(dataset.folder),
    ]
    done = subprocess.run([*command, str(tmp_path / "out"), "--for", "kair"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{tmp_path}/out: 30 pairs, folder\n{tmp_path}/out/kair.json: configuration for KAIR\n"
    )
    for wrong, status, complaint in (
        ([], 2, "expected --format or --for"),
        (["--for", "kair", "--format", "lmdb"], 1, "Error: --format: lmdb is not for KAIR"),
        (["--format", "folder", "--where", "os.system"], 1, "Error: --where: expected comparisons"),
        (["--format", "tfrecord"], 2, "'tfrecord' is not one of"),
    ):
        done = subprocess.run([*command, str(tmp_path / "new"), *wrong], capture_output=True, text=True)
        assert done.returncode == status
        assert complaint in done.stderr
        assert "Traceback" not in done.stderr
