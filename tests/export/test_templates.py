"""A trainer's own file, filled in: it says what the pairs need, and everything else that it said before."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import write_dataset

from sdflow.errors import SDFlowError
from sdflow_data.dataset.manifest import Dataset
from sdflow_data.export.run import ExportRequest, export
from sdflow_data.export.templates import TOML, YAML, Changes, CommentedJSON, Notation
from sdflow_data.export.trainers import TRAINERS

BASICSR = """\
# general settings
name: mine  # my own
scale: 4
datasets:
  train:
    name: DIV2K
    type: PairedImageDataset
    dataroot_gt: datasets/HR
    # (for lmdb)
    dataroot_lq: datasets/LR
    meta_info_file: meta/info.txt
    filename_tmpl: '{}x4'
    io_backend:
      type: disk
      # type: lmdb
    gt_size: 128  # HR pixels
    use_rot: false
    batch_size_per_gpu: 1000
    dataset_enlarge_ratio: 2

  val:
    name: Set5
    type: PairedImageDataset
  val_2:
    name: Set14

# network structures
network_g:
  type: MSRResNet
  upscale: 4
train:
  optim_g:
    lr: !!float 2e-4  # tagged
  total_iter: 1000
"""

REDUX = """\
name: 4x_mine
scale: 4
high_order_degradation: true
datasets:
  train:
    name: Train
    type: realesrgandataset
    dataroot_gt: [
      datasets/a/hr,  # one
      datasets/b/hr
    ]
    dataroot_lq:
    - datasets/a/lr
    # meta_info: data/meta_info/dataset1.txt
    lq_size: 6  # LR pixels
    batch_size_per_gpu: 12
  val:
    name: Val
    type: pairedimagedataset
    dataroot_gt: [datasets/val/hr]
network_g:
  type: compact
network_deg:
  scale: 4
val:
  val_enabled: false  # or true
  metrics_enabled: true
"""

NEOSR = """\
name = "mine"
scale = 4
#use_amp = true

[datasets.train]
type = "paired"
dataroot_gt = 'C:\\datasets\\gt\\'  # HR
dataroot_lq = 'C:\\datasets\\lq\\'
patch_size = 6
batch_size = 1000

[datasets.val]
name = "val"
type = "single"

[val]
val_freq = 1000
#tile = 200

[network_g]
type = "span"
"""

KAIR = """\
{
  "task": "mine"  // root/task
  , "scale": 3    // broadcast to "netG"
  , "datasets": {
    "train": {
      "dataset_type": "plain"      // "sr" | "plain"
\t  , "dataroot_H": "trainsets/H"  // path
      , "H_size": 96
      , "dataloader_batch_size": 1000
    }
    , "test": {
      "name": "set5"  // just name
    }
  }
  , "netG": {
    "net_type": "swinir"
    , "upscale": 3
  }
}
"""

NIQE = """\
val:
  metrics:
    psnr:
      type: calculate_psnr
    mine:
      type: calculate_niqe
      crop_border: 4
"""

TEMPLATES = {
    "basicsr": BASICSR,
    "realesrgan": BASICSR,
    "hat": BASICSR,
    "trainner": REDUX,
    "unpairedsr": REDUX,
    "neosr": NEOSR,
    "kair": KAIR,
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_dataset(tmp_path_factory.mktemp("dataset"), scale=2, patch_size=32)


def fill_in(dataset: Dataset, folder: Path, trainer: str, template: str, **request: Any) -> str:
    """Export with a template, and give the text of the configuration."""
    (folder / "template").write_text(template, encoding="utf-8")
    request = {"split": "train=0.6,val=0.4"} | request
    done = export(
        dataset, folder / "out", ExportRequest(None, trainer, template=folder / "template", **request), 1
    )
    assert done.config is not None
    return done.config.read_text(encoding="utf-8")


def read(trainer: str, text: str) -> Any:
    configuration = TRAINERS[trainer].configuration
    assert configuration is not None
    return configuration.notation.read(text)


def comments(text: str) -> list[str]:
    return [line[line.index(mark) :] for line in text.splitlines() for mark in ("#", "//") if mark in line]


@pytest.mark.parametrize("trainer", TEMPLATES)
def test_a_template_says_where_the_pairs_are_and_keeps_what_else_it_said(
    dataset: Dataset, tmp_path: Path, trainer: str
) -> None:
    text = fill_in(dataset, tmp_path, trainer, TEMPLATES[trainer], root="here")
    before, after = read(trainer, TEMPLATES[trainer]), read(trainer, text)
    assert after["scale"] == 2
    sections = {"train", "test" if trainer == "kair" else "val"}
    assert after["datasets"].keys() == sections
    for name, section in after["datasets"].items():
        folder = "here/train" if name == "train" else "here/val"
        paths = [value for key, value in section.items() if key.startswith("dataroot")]
        assert paths
        assert all(folder in str(path) for path in paths)
    touched = {"scale", "datasets", "val", "network_g", "network_deg", "netG", "n_channels"}
    touched |= {"high_order_degradation"}
    assert {k: v for k, v in after.items() if k not in touched} == {
        k: v for k, v in before.items() if k not in touched
    }


@pytest.mark.parametrize(
    ("trainer", "kept"),
    [
        (
            "basicsr",
            ["# general settings", "# my own", "# (for lmdb)", "# type: lmdb", "# HR pixels"],
        ),
        ("trainner", ["# meta_info: data/meta_info/dataset1.txt", "# LR pixels", "# or true"]),
        ("neosr", ["#use_amp = true", "# HR", "#tile = 200"]),
        ("kair", ['// broadcast to "netG"', '// "sr" | "plain"', "// path"]),
    ],
)
def test_comments_stay(dataset: Dataset, tmp_path: Path, trainer: str, kept: list[str]) -> None:
    assert set(kept) <= set(comments(fill_in(dataset, tmp_path, trainer, TEMPLATES[trainer])))


@pytest.mark.parametrize(
    ("trainer", "place"),
    [
        ("basicsr", ("network_g", "upscale")),
        ("unpairedsr", ("network_deg", "scale")),
        ("kair", ("netG", "upscale")),
    ],
)
def test_the_network_gets_the_scale_of_the_pairs(
    dataset: Dataset, tmp_path: Path, trainer: str, place: tuple[str, str]
) -> None:
    after = read(trainer, fill_in(dataset, tmp_path, trainer, TEMPLATES[trainer]))
    assert after[place[0]][place[1]] == 2


def test_a_network_that_names_no_scale_gets_one_if_it_is_known_to_take_one(
    dataset: Dataset, tmp_path: Path
) -> None:
    template = BASICSR.replace("type: MSRResNet\n  upscale: 4", "type: RRDBNet")
    assert read("realesrgan", fill_in(dataset, tmp_path, "realesrgan", template))["network_g"]["scale"] == 2
    unknown = BASICSR.replace("type: MSRResNet\n  upscale: 4", "type: Unknown")
    with pytest.raises(SDFlowError, match="expected 'upscale' or 'scale' in network_g, to change it"):
        fill_in(dataset, tmp_path, "basicsr", unknown)


@pytest.mark.parametrize(
    ("trainer", "key", "size"),
    [
        ("basicsr", "gt_size", 32),  # of 128 at scale 4: 32 LR pixels, and patches have 16
        ("trainner", "lq_size", 6),
        ("neosr", "patch_size", 6),
        ("kair", "H_size", 32),
    ],
)
def test_a_crop_keeps_its_size_in_lr_pixels_where_patches_are_as_large(
    dataset: Dataset, tmp_path: Path, trainer: str, key: str, size: int
) -> None:
    after = read(trainer, fill_in(dataset, tmp_path, trainer, TEMPLATES[trainer]))
    assert after["datasets"]["train"][key] == size


@pytest.mark.parametrize(
    ("trainer", "key", "epoch"),
    [
        ("basicsr", "batch_size_per_gpu", 36),
        ("neosr", "batch_size", 18),
        ("kair", "dataloader_batch_size", 18),
    ],
)
def test_a_batch_is_not_larger_than_an_epoch_which_would_have_no_step(
    dataset: Dataset, tmp_path: Path, trainer: str, key: str, epoch: int
) -> None:
    after = read(trainer, fill_in(dataset, tmp_path, trainer, TEMPLATES[trainer]))
    assert after["datasets"]["train"][key] == epoch


def test_keys_that_contradict_the_pairs_go(dataset: Dataset, tmp_path: Path) -> None:
    train = read("basicsr", fill_in(dataset, tmp_path, "basicsr", BASICSR, split=None))["datasets"]
    assert train.keys() == {"train"}
    assert "filename_tmpl" not in train["train"]
    assert train["train"]["meta_info_file"] == str(tmp_path / "out" / "meta_info.txt")
    assert train["train"]["use_rot"] is False


def test_redux_validates_where_there_is_something_to_validate_on(dataset: Dataset, tmp_path: Path) -> None:
    assert read("trainner", fill_in(dataset, tmp_path, "trainner", REDUX))["val"]["val_enabled"] is True
    (tmp_path / "without").mkdir()
    text = fill_in(dataset, tmp_path / "without", "trainner", REDUX, split=None)
    assert read("trainner", text)["val"] == {"val_enabled": False, "metrics_enabled": True}


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("a: [", "expected YAML"),
        ("scale: 4", "found no 'datasets' in it"),
        ("datasets: {val: {}}", "found no 'train' in its 'datasets'"),
        ("just words", "found no 'datasets' in it"),
        ("base: &a x\ndatasets:\n  train:\n    name: *a\n", "found an alias"),
        ("datasets:\n  train:\n    name: &a x\nbase: *a\n", "expected no alias"),
    ],
)
def test_what_is_no_configuration_is_refused_before_anything_is_written(
    dataset: Dataset, tmp_path: Path, template: str, complaint: str
) -> None:
    with pytest.raises(SDFlowError, match=f"template: .*{complaint}"):
        fill_in(dataset, tmp_path, "basicsr", template)
    assert not (tmp_path / "out").exists()


# The three notations


NAMES = st.sampled_from(["a", "b", "c d", "e.f", "é"])
SCALARS = st.one_of(
    st.integers(-5, 10**6),
    st.booleans(),
    st.text("ab :#'\"\\\té[]{},&*-", max_size=8),
    st.builds(lambda: [1, "x"]),
)
MAPPINGS = st.recursive(
    st.dictionaries(NAMES, SCALARS, min_size=1, max_size=4),
    lambda inner: st.dictionaries(NAMES, SCALARS | inner, min_size=1, max_size=4),
    max_leaves=8,
)

PATHS = st.lists(NAMES, min_size=1, max_size=2).map(tuple)


def merged(before: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """What a text shall say after changes."""
    after = json.loads(json.dumps(before))
    for *outer, last in changes.removed:
        table = after
        for name in outer:
            table = table.get(name, {}) if isinstance(table, dict) else {}
        if isinstance(table, dict):
            table.pop(last, None)
    return merge(after, changes.values)


def merge(before: Any, values: dict[str, Any]) -> dict[str, Any]:
    after = dict(before) if isinstance(before, dict) else {}
    for name, value in values.items():
        after[name] = merge(after.get(name), value) if isinstance(value, dict) else value
    return after


@settings(max_examples=60, deadline=None)
@given(
    MAPPINGS, MAPPINGS, st.lists(st.lists(NAMES, min_size=1, max_size=2).map(tuple), max_size=2), st.data()
)
@pytest.mark.parametrize("notation", [YAML(), CommentedJSON(), TOML()], ids=["yaml", "json", "toml"])
def test_an_edited_text_says_what_it_said_but_for_the_changes(
    notation: Notation, before: dict, values: dict, removed: list, data: st.DataObject
) -> None:
    changes = Changes(values, tuple(removed))
    text = notation.write(before)
    if isinstance(notation, YAML) and data.draw(st.booleans()):  # all on one line, as people write short ones
        text = yaml.safe_dump(before, default_flow_style=True, width=10**6, allow_unicode=True)
        text = text if type(notation) is YAML else json.dumps(before)
    assert notation.read(notation.edit(text, changes)) == merged(before, changes)


@pytest.mark.parametrize("trainer", TEMPLATES)
def test_a_text_without_changes_stays_as_it_is(trainer: str) -> None:
    configuration = TRAINERS[trainer].configuration
    assert configuration is not None
    assert configuration.notation.edit(TEMPLATES[trainer], Changes({})) == TEMPLATES[trainer]


@pytest.mark.parametrize(("patch_size", "has_niqe"), [(198, False), (200, True)])
def test_a_metric_that_small_patches_would_stop_the_training_with_is_left_out(
    tmp_path: Path, patch_size: int, has_niqe: bool
) -> None:
    pairs = write_dataset(tmp_path / "dataset", photographs=2, scale=2, patch_size=patch_size)
    text = fill_in(pairs, tmp_path, "basicsr", BASICSR + NIQE, split="train=0.5,val=0.5")
    assert yaml.safe_load(text)["val"]["metrics"].keys() == {"psnr", *["mine"] * has_niqe}


@pytest.mark.parametrize(("patch_size", "window", "gt_size"), [(40, 16, 32), (40, 7, 28), (16, 16, 16)])
def test_a_crop_of_small_patches_is_of_whole_windows(
    tmp_path: Path, patch_size: int, window: int, gt_size: int
) -> None:
    pairs = write_dataset(tmp_path / "dataset", photographs=2, scale=2, patch_size=patch_size)
    template = BASICSR.replace("  upscale: 4", f"  upscale: 4\n  window_size: {window}")
    text = fill_in(pairs, tmp_path, "hat", template)
    assert yaml.safe_load(text)["datasets"]["train"]["gt_size"] == gt_size
