"""A checkpoint comes back as it went in, or not at all and with a reason."""

import dataclasses
import json
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from laws import randomise
from safetensors.torch import load_file, save_file

from sdflow.checkpoint import fingerprint, load_checkpoint, read_description, save_checkpoint
from sdflow.errors import SDFlowError
from sdflow.model import Direction, SDFlow, SDFlowConfig
from sdflow_data.training.presets import preset_architecture

CONFIG = dataclasses.replace(preset_architecture("tiny", 2), width=4, condition_channels=4, components=3)


@pytest.fixture
def model() -> SDFlow:
    return randomise(SDFlow(CONFIG), 1)


@pytest.fixture
def folder(model: SDFlow, tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "model", model, {"steps": 3})
    return tmp_path / "model"


@torch.no_grad()
def test_a_loaded_model_computes_the_same(model: SDFlow, folder: Path) -> None:
    loaded, y = load_checkpoint(folder), torch.rand(1, 3, 8, 8)
    assert loaded.config == model.config
    assert torch.equal(loaded.log_prob_hr(y), model.eval().log_prob_hr(y))


@pytest.mark.parametrize("part", ["aperture", "crosstalk", "texture"])
def test_cameras_that_were_stored_without_a_part_have_none(part: str, tmp_path: Path) -> None:
    measured = SDFlow(dataclasses.replace(CONFIG, measured=True, hr_steps=0))
    save_checkpoint(tmp_path / "model", measured, {})
    state = load_file(tmp_path / "model" / "model.safetensors")
    del state[f"degradation_flow.camera.{part}"]
    save_file(state, tmp_path / "model" / "model.safetensors")
    camera = load_checkpoint(tmp_path / "model").degradation_flow.camera
    assert camera is not None and not getattr(camera, part).any()


def test_a_loaded_model_is_in_evaluation(folder: Path) -> None:
    assert not load_checkpoint(folder).training


def test_the_description_tells_scale_architecture_parts_and_training(model: SDFlow, folder: Path) -> None:
    description = read_description(folder)
    assert description["scale"] == 2
    assert SDFlowConfig.from_dict(description["architecture"]) == CONFIG
    assert description["parts"] == list(model.parts)
    assert description["training"] == {"steps": 3}


def test_a_checkpoint_is_two_files_and_leaves_no_other(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_saving_again_replaces_the_checkpoint(folder: Path) -> None:
    before = fingerprint(folder)
    save_checkpoint(folder, randomise(SDFlow(CONFIG), 2), {"steps": 4})
    assert read_description(folder)["training"] == {"steps": 4}
    assert fingerprint(folder) != before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_crash_between_the_renames_leaves_the_older_checkpoint(folder: Path) -> None:
    before = fingerprint(folder)
    folder.rename(folder.with_name(".model.old"))
    assert fingerprint(folder) == before
    assert load_checkpoint(folder).config == CONFIG


def test_a_folder_of_other_things_is_never_replaced(model: SDFlow, tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    with pytest.raises(SDFlowError, match=r"photo\.png"):
        save_checkpoint(tmp_path, model, {})
    assert (tmp_path / "photo.png").exists()


def test_a_fingerprint_does_not_depend_on_the_training_record(model: SDFlow, folder: Path) -> None:
    before = fingerprint(folder)
    save_checkpoint(folder, model, {"steps": 1000})
    assert fingerprint(folder) == before


def test_a_fingerprint_depends_on_the_architecture(folder: Path) -> None:
    before = fingerprint(folder)
    edit_description(folder, lambda d: d["architecture"].update(mixture="element"))
    assert fingerprint(folder) != before


@torch.no_grad()
def test_a_model_without_some_parts_comes_back_without_them(model: SDFlow, folder: Path) -> None:
    model.drop(["encoder", "hf_flow"])
    save_checkpoint(folder, model, {})
    loaded = load_checkpoint(folder)
    assert loaded.parts == model.parts
    loaded.require("downscale")
    with pytest.raises(SDFlowError, match="can upscale, found one without hf_flow, encoder"):
        loaded.require("upscale")


@pytest.mark.parametrize(
    ("direction", "part", "file"),
    [("upscale", "encoder", "lrencoder.pth"), ("downscale", "degradation_flow", "degnet.pth")],
)
def test_a_direction_that_a_checkpoint_cannot_go_names_it_and_the_file_to_import(
    model: SDFlow, folder: Path, direction: Direction, part: str, file: str
) -> None:
    model.drop([part])
    save_checkpoint(folder, model, {})
    with pytest.raises(SDFlowError) as refused:
        load_checkpoint(folder, needs=[direction])
    told = str(refused.value)
    assert told.startswith(f"{folder}: expected a checkpoint that can {direction}")
    assert f"imported without {file}; `sdflow import-published` again" in told


def edit_description(folder: Path, change: Callable[[dict], object]) -> None:
    description = json.loads((folder / "model.json").read_text())
    change(description)
    (folder / "model.json").write_text(json.dumps(description))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def cast_means(weights: dict[str, torch.Tensor], kind: torch.dtype) -> None:
    weights["prior.means"] = weights["prior.means"].to(kind)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda f: (f / "model.json").unlink(), "found no model.json"),
        (lambda f: (f / "model.safetensors").unlink(), "expected model.safetensors"),
        (lambda f: truncate(f / "model.safetensors"), "damaged"),
        (lambda f: truncate(f / "model.json"), "as JSON"),
        (lambda f: (f / "model.json").write_text("[]"), "as JSON"),
        (lambda f: (f / "model.json").write_bytes(b"\xff\xfe"), "as JSON"),
        (lambda f: edit_description(f, lambda d: d.update(format_version=2)), "found 2"),
        (lambda f: edit_description(f, lambda d: d.pop("architecture")), "architecture"),
        (lambda f: edit_description(f, lambda d: d["architecture"].update(scale=3)), "scale"),
        (lambda f: edit_description(f, lambda d: d["architecture"].update(depth=3)), "depth"),
        (lambda f: edit_description(f, lambda d: d["architecture"].update(width=5)), "another shape"),
        (lambda f: edit_description(f, lambda d: d.pop("parts")), "parts"),
        (lambda f: edit_description(f, lambda d: d["parts"].remove("encoder")), "extra"),
        (lambda f: edit_description(f, lambda d: d.update(architecture=[])), "architecture"),
        (lambda f: edit_description(f, lambda d: d.update(scale=4)), "scale"),
        (lambda f: edit_description(f, lambda d: d.update(scale="2")), "scale"),
        (lambda f: edit_description(f, lambda d: d.update(training=None)), "training"),
        (lambda f: edit_description(f, lambda d: d.update(parts="encoder")), "parts"),
        (lambda f: edit_description(f, lambda d: d.update(parts=[["encoder"]])), "architecture"),
        (lambda f: (f / "model.json").write_text("[" * 100_000), "as JSON"),
        (lambda f: edit_weights(f, lambda w: w.pop("prior.means")), "prior.means"),
        *(
            (lambda f, kind=kind: edit_weights(f, lambda w: cast_means(w, kind)), "prior.means")
            for kind in (torch.int32, torch.float64, torch.bfloat16)
        ),
        (lambda f: edit_weights(f, lambda w: w["prior.means"].fill_(float("nan"))), "prior.means"),
        (lambda f: edit_weights(f, lambda w: w.update(more=torch.ones(1))), "more"),
    ],
)
def test_a_damaged_checkpoint_is_refused_in_one_line(
    folder: Path, damage: Callable[[Path], object], told: str
) -> None:
    damage(folder)
    with pytest.raises(SDFlowError) as error:
        load_checkpoint(folder)
    message = str(error.value)
    assert message.startswith(str(folder))
    assert told in message
    assert "\n" not in message


LARGE = [
    field.name for field in dataclasses.fields(SDFlowConfig) if field.type is int and field.name != "scale"
]


@pytest.mark.parametrize(
    "names", [LARGE, ["hf_blocks"], ["encoder_blocks", "encoder_channels"], ["width", "growth"]]
)
@pytest.mark.parametrize("parts", [None, ["prior"]])
def test_a_model_larger_than_its_file_takes_no_memory(
    folder: Path, names: list[str], parts: list[str] | None
) -> None:
    edit_description(folder, lambda d: d["architecture"].update(dict.fromkeys(names, 1024)))
    if parts is not None:
        edit_description(folder, lambda d: d.update(parts=parts))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SDFlowError) as error:
        load_checkpoint(folder)
    assert "\n" not in str(error.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # KiB


@pytest.mark.parametrize("config", [CONFIG, preset_architecture("tiny", 2), preset_architecture("tiny", 4)])
def test_an_architecture_knows_how_large_it_is_at_the_least(config: SDFlowConfig) -> None:
    model = SDFlow(config)
    assert config.least_weights <= sum(parameter.numel() for parameter in model.parameters())
    assert config.layers < len(model.state_dict())
    assert config.layers * 4096 < sum(value.nbytes for value in model.state_dict().values())


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("read", [load_checkpoint, fingerprint])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(
    folder: Path, name: str, read: Callable[[Path], object]
) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises((SDFlowError, OSError), match="model"):
        read(folder)


def test_what_a_killed_save_left_is_taken_away_by_the_next(model: SDFlow, folder: Path) -> None:
    aside = folder.with_name(".model.tmp")
    aside.mkdir()
    (aside / ".model.safetensors.tmp").write_bytes(b"half")
    save_checkpoint(folder, model, {})
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SDFlowError, match="expected a checkpoint"):
        load_checkpoint(tmp_path / "nothing")


def test_weights_of_more_bytes_than_the_architecture_are_not_read(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 10**12)  # sparse: it takes no disk
    with pytest.raises(
        SDFlowError, match=r"model\.safetensors: expected whole weights, .* 1000000000000 bytes"
    ):
        load_checkpoint(folder)
