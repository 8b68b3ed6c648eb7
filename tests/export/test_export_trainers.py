"""What each trainer is known to read is what it gets, and its configuration says where and how large."""

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from calls import call
from hypothesis import given
from hypothesis import strategies as st
from pairs import write_dataset

from sdflow.errors import SDFlowError
from sdflow_data.dataset.manifest import Dataset
from sdflow_data.export import FORMATS
from sdflow_data.export.card import size_category
from sdflow_data.export.run import ExportRequest, export
from sdflow_data.export.trainers import TRAINERS

AWKWARD = 'hr "lr" é # : {x}'
"""A folder's name that wants quoting in every notation, and holds the names of the folders below it."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_dataset(tmp_path_factory.mktemp("dataset"), scale=4, patch_size=32)


SPLIT = "train=0.8,val=0.2"
NOTATIONS = {name: trainer.configuration for name, trainer in TRAINERS.items() if trainer.configuration}


def configure(dataset: Dataset, out: Path, trainer: str, format: str | None = None, **request: Any) -> Any:
    """Export and read the configuration."""
    summary = export(dataset, out, ExportRequest(format, trainer, **request), workers=1)
    assert summary.config is not None
    return NOTATIONS[trainer].notation.read(summary.config.read_text(encoding="utf-8"))


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
    expected = " or ".join(TRAINERS[trainer].formats)
    with pytest.raises(SDFlowError, match=rf"format: expected {expected} for .*, found {format}: it"):
        export(dataset, tmp_path / "out", ExportRequest(format, trainer, split=SPLIT))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_trainer_without_a_format_gets_what_it_reads_best(trainer: str) -> None:
    best = "parquet" if trainer == "huggingface" else "folder"
    assert TRAINERS[trainer].choose_format(None, samples=1000) == best


def test_neosr_gets_databases_for_so_many_pairs_that_it_would_search_folders_for_hours() -> None:
    assert TRAINERS["neosr"].choose_format(None, samples=1_000_000) == "lmdb"
    assert TRAINERS["neosr"].choose_format("folder", samples=1_000_000) == "folder"


@pytest.mark.parametrize("split", [None, "train=1", "train=0.5,test=0.5"])
def test_kair_which_stops_at_its_first_test_without_one_is_refused_an_export_without(
    dataset: Dataset, tmp_path: Path, split: str | None
) -> None:
    with pytest.raises(SDFlowError, match=r"split: expected parts called train and val for KAIR"):
        export(dataset, tmp_path / "out", ExportRequest(trainer="kair", split=split))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_split_without_a_part_to_train_on_is_refused(
    dataset: Dataset, tmp_path: Path, trainer: str
) -> None:
    with pytest.raises(SDFlowError, match=r"split: expected a part called train"):
        export(dataset, tmp_path / "out", ExportRequest(trainer=trainer, split="a=0.5,b=0.5"))


def test_parts_that_hugging_face_would_take_for_training_data_are_refused(
    dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(SDFlowError, match=r"expected parts called train, val, test for .*, found 'mine'"):
        export(dataset, tmp_path / "out", ExportRequest(trainer="huggingface", split="train=0.5,mine=0.5"))


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
    config = configure(dataset, tmp_path / AWKWARD, "kair", split=SPLIT)
    train, test = config["datasets"]["train"], config["datasets"]["test"]  # the only two that it knows
    assert (config["scale"], config["n_channels"]) == (4, 3)
    assert train["dataset_type"] == test["dataset_type"] == "sr"
    assert train["H_size"] == 32
    for section in (train, test):
        hr, lr = (sorted(Path(section[key]).iterdir()) for key in ("dataroot_H", "dataroot_L"))
        assert [path.name for path in hr] == [path.name for path in lr]


@pytest.mark.parametrize("format", ["folder", "parquet", "webdataset"])
@pytest.mark.parametrize("split", [None, SPLIT])
def test_the_card_names_the_files_of_every_part_by_paths_that_move_with_the_folder(
    dataset: Dataset, tmp_path: Path, format: str, split: str | None
) -> None:
    export(
        dataset, tmp_path, ExportRequest(format, "huggingface", split=split, patches_per_shard=3), workers=1
    )
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert str(tmp_path) not in card
    [config] = yaml.safe_load(card.split("---\n")[1])["configs"]
    named = {
        part["split"]: [
            file
            for pattern in ([part["path"]] if isinstance(part["path"], str) else part["path"])
            for file in tmp_path.glob(pattern)
        ]
        for part in config["data_files"]
    }
    assert list(named) == (["train", "val"] if split else ["train"])
    kinds = [".tar"] if format == "webdataset" else [".png", ".parquet"]
    data = {file for file in tmp_path.rglob("*.*") if file.suffix in kinds}
    assert {file for files in named.values() for file in files} == data
    assert sum(len(files) for files in named.values()) == len(data)


@given(st.integers(1, 10**13))
def test_the_card_says_how_many_pairs_there_are_as_the_hub_counts(samples: int) -> None:
    counts = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
    ends = re.findall(r"(\d+)([KMBT])", size_category(samples))
    limits = [int(number) * counts[letter] for number, letter in ends]
    if size_category(samples).startswith("n<"):
        assert samples < limits[0] == 1000
    elif size_category(samples).startswith("n>"):
        assert samples >= limits[0] == 10**12
    else:
        assert limits[0] <= samples < limits[1] == 10 * limits[0]


@pytest.mark.parametrize("root", ["pairs[1]", "pairs*", "what?"])
def test_a_path_that_hugging_face_takes_for_a_pattern_is_refused(
    dataset: Dataset, tmp_path: Path, root: str
) -> None:
    with pytest.raises(SDFlowError, match=r"root: expected a path without .* for Hugging Face datasets"):
        export(dataset, tmp_path / root, ExportRequest(trainer="huggingface"))


def test_real_esrgan_gets_its_list_of_pairs_and_is_told_not_to_degrade(
    dataset: Dataset, tmp_path: Path
) -> None:
    config = configure(dataset, tmp_path / AWKWARD, "realesrgan", split=SPLIT)
    train = config["datasets"]["train"]
    assert (config["high_order_degradation"], train["type"]) == (False, "RealESRGANPairedDataset")
    for line in Path(train["meta_info"]).read_text().splitlines():
        hr, lr = line.split(", ")
        assert (Path(train["dataroot_gt"]) / hr).is_file()
        assert (Path(train["dataroot_lq"]) / lr).is_file()
    assert config["datasets"]["val"]["type"] == "PairedImageDataset"


def test_unpairedsr_gets_lr_and_hr_as_its_two_domains(dataset: Dataset, tmp_path: Path) -> None:
    train = configure(dataset, tmp_path, "unpairedsr", split=SPLIT)["datasets"]["train"]
    assert train["type"] == "unpairedimagedataset"
    assert train["dataroot_lq"] == [str(tmp_path / "train/lr")]
    assert train["dataroot_ref"] == [str(tmp_path / "train/hr")]
    assert not {"dataroot_gt", "gt_size"} & train.keys()


@pytest.mark.parametrize("trainer", NOTATIONS)
def test_a_root_takes_the_place_of_the_folder_everywhere(
    dataset: Dataset, tmp_path: Path, trainer: str
) -> None:
    export(dataset, tmp_path, ExportRequest(trainer=trainer, split=SPLIT, root="data/é pairs"), workers=1)
    text = (tmp_path / TRAINERS[trainer].config_name).read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    values = NOTATIONS[trainer].notation.read(text)
    paths = re.findall(r"'(data/é pairs/[^']*)'", str(values))
    assert paths
    assert all((tmp_path / path.removeprefix("data/é pairs/")).exists() for path in paths)


@pytest.mark.parametrize("trainer", NOTATIONS)
def test_a_file_that_no_trainer_starts_on_names_a_template_to_begin_with(
    dataset: Dataset, tmp_path: Path, trainer: str
) -> None:
    export(dataset, tmp_path, ExportRequest(trainer=trainer, split=SPLIT), workers=1)
    lines = (tmp_path / TRAINERS[trainer].config_name).read_text(encoding="utf-8").splitlines()
    configuration = NOTATIONS[trainer]
    comments = [line for line in lines if line.startswith(configuration.notation.comment)]
    assert any(f"the template {configuration.template}" in line for line in comments)


def test_parts_that_are_neither_for_training_nor_validation_stay_out_of_the_configuration(
    dataset: Dataset, tmp_path: Path
) -> None:
    config = configure(dataset, tmp_path, "basicsr", split="test=0.2,val=0.2,train=0.6")
    assert list(config["datasets"]) == ["train", "val"]
    assert (tmp_path / "test" / "hr").is_dir()


def test_the_command_names_what_it_wrote(dataset: Dataset, tmp_path: Path) -> None:
    done = call("export", dataset.folder, tmp_path / "out", "--for", "hat")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{tmp_path}/out: 30 pairs, folder\n{tmp_path}/out/hat.yml: configuration for HAT\n"
    )
    for wrong, status, complaint in (
        ([], 2, "expected --format or --for"),
        (
            ["--for", "trainner", "--format", "lmdb"],
            1,
            "Error: --format: expected folder for traiNNer",
        ),
        (["--format", "folder", "--where", "os.system"], 1, "Error: --where: expected comparisons"),
        (["--format", "folder", "--root", "pairs"], 2, "expected --for with --template and --root"),
        (["--format", "tfrecord"], 2, "'tfrecord' is not one of"),
    ):
        done = call("export", dataset.folder, tmp_path / "new", *wrong)
        assert done.returncode == status
        assert complaint in done.stderr
        assert "Traceback" not in done.stderr
