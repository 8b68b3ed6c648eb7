"""Published weights come in exactly, or not at all and with a reason."""

import hashlib
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from laws import randomise
from sdflow_cli.main import main
from torch import Tensor

from sdflow.checkpoint import load_checkpoint, save_checkpoint
from sdflow.errors import SDFlowError
from sdflow.inference import Downscaler, Upscaler
from sdflow.layers import InvertibleConv1x1
from sdflow.model import SDFlow, SDFlowConfig
from sdflow.published import FILES, MAX_PICKLE_BYTES, TENSOR_BYTES, read_published

LAYOUTS = {
    "hrnet.pth": (1061, "9ca66804cc301f07"),
    "contentnet.pth": (332, "e93dafed4ba1ea6c"),
    "degnet.pth": (347, "ffc83493ab327292"),
    "lrencoder.pth": (182, "1daf84a18a453100"),
}
"""Of each published file, the number of tensors and the sha256 of their sorted "key dtype shape" lines."""


def published_model() -> SDFlow:
    return SDFlow(SDFlowConfig(mixture="published"))


@pytest.fixture(scope="module")
def original() -> SDFlow:
    return randomise(published_model(), 1, spread=0.03)


@pytest.fixture(scope="module")
def whole(original: SDFlow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all four files."""
    folder = tmp_path_factory.mktemp("published")
    for name, (_, entries) in FILES.items():
        torch.save({key: value.detach() for key, value in entries(original)}, folder / name)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """The same, to be damaged: links, so that a test replaces files and never writes into them."""
    for name in FILES:
        (tmp_path / name).symlink_to(whole / name)
    return tmp_path


def rewrite(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    values = torch.load(path, weights_only=True)
    change(values)
    path.unlink()
    torch.save(values, path)


@pytest.mark.parametrize("name", FILES)
def test_the_expected_keys_are_the_published_ones(original: SDFlow, name: str) -> None:
    lines = sorted(
        f"{key} {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
        for key, value in FILES[name][1](original)
    )
    assert (len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]) == LAYOUTS[name]


@pytest.mark.parametrize("size", [0, 400_000, 4_000_000, 10**12])
def test_a_file_of_another_size_is_not_opened(
    folder: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "contentnet.pth"
    path.unlink()
    path.touch()
    os.truncate(path, size)  # sparse: it takes no disk
    monkeypatch.setattr("sdflow.published.SDFlow", None)  # nothing is made either
    with pytest.raises(SDFlowError, match=rf"contentnet\.pth: expected a whole file .* of {size:,} bytes"):
        read_published(folder)


def test_the_sizes_are_those_of_the_layouts(original: SDFlow, whole: Path) -> None:
    for name, (_, entries) in FILES.items():
        tensors = sum(value.nbytes for _, value in entries(original))
        assert TENSOR_BYTES[name] == tensors
        assert tensors < (whole / name).stat().st_size < tensors + MAX_PICKLE_BYTES


def test_compressed_tensors_are_not_inflated(folder: Path) -> None:
    path = folder / "contentnet.pth"
    with zipfile.ZipFile(path) as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    path.unlink()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(SDFlowError, match=r"contentnet\.pth: expected a whole file of tensors"):
        read_published(folder)


def test_weights_that_come_back_are_the_ones_that_went_out(original: SDFlow, whole: Path) -> None:
    imported = read_published(whole).state_dict()
    for name, value in original.state_dict().items():
        assert torch.equal(imported[name], value), name


def test_every_actnorm_counts_as_initialised(whole: Path) -> None:
    flags = [v for k, v in read_published(whole).state_dict().items() if k.endswith("initialised")]
    assert flags
    assert all(flags)


def test_imported_weights_keep_the_published_law(whole: Path) -> None:
    assert read_published(whole).prior.law == "published"


def test_a_1x1_convolution_has_the_published_weight_whatever_stands_under_its_masks(folder: Path) -> None:
    prefix = "blocks.0.steps.3.permute."

    def fill_masked_places(values: dict[str, Tensor]) -> None:
        values[f"{prefix}w_l"] = torch.randn(12, 12) * 0.2
        values[f"{prefix}w_u"] = torch.randn(12, 12) * 0.2

    rewrite(folder / "contentnet.pth", fill_masked_places)
    raw = {
        key.removeprefix(prefix): value
        for key, value in torch.load(folder / "contentnet.pth", weights_only=True).items()
        if key.startswith(prefix)
    }
    lower = raw["w_l"] * raw["l_mask"] + raw["l_eye"]
    upper = raw["w_u"] * raw["u_mask"] + torch.diag(raw["s_sign"] * torch.exp(raw["w_s"]))
    layer = read_published(folder).lr_flow.chain.maps[2].maps[3 * 3 + 1]
    assert isinstance(layer, InvertibleConv1x1)
    torch.testing.assert_close(layer.weight(), raw["w_p"] @ lower @ upper)


class Trap:
    """Would run a command when unpickled carelessly."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v: v.pop("blocks.0.steps.2.actnorm.loc"), "1 missing (blocks.0.steps.2.actnorm.loc)"),
        (lambda v: v.update(surplus=torch.ones(1)), "1 extra (surplus)"),
        (
            lambda v: v.update({f"surplus{i}": torch.ones(1) for i in range(99)}),
            "99 extra (surplus0, surplus1,",
        ),
        (
            lambda v: v.update({"blocks.0.steps.2.actnorm.loc": torch.ones(1, 11, 1, 1)}),
            "blocks.0.steps.2.actnorm.loc float32 (1, 11, 1, 1) for float32 (1, 12, 1, 1)",
        ),
        (
            lambda v: v.update({"blocks.0.steps.2.actnorm.loc": torch.ones(1, 12, 1, 1).double()}),
            "blocks.0.steps.2.actnorm.loc float64 (1, 12, 1, 1) for float32 (1, 12, 1, 1)",
        ),
        (lambda v: v["blocks.0.steps.2.actnorm.loc"].fill_(torch.nan), "finite"),
        (lambda v: v["blocks.0.steps.2.actnorm.initialized"].fill_(0), "published constants"),
        (lambda v: v["blocks.0.steps.2.permute.u_mask"].fill_(1), "published constants"),
        (lambda v: v["blocks.0.steps.2.permute.l_mask"].fill_(1), "published constants"),
        (lambda v: v["blocks.0.steps.2.permute.l_eye"].fill_(1), "published constants"),
        (lambda v: v["blocks.0.steps.2.permute.w_p"].fill_(1), "published constants"),
        (lambda v: v["blocks.0.steps.2.permute.s_sign"].fill_(2), "published constants"),
    ],
)
def test_a_file_of_another_layout_is_refused_by_name(
    folder: Path, change: Callable[[dict[str, Tensor]], object], told: str
) -> None:
    rewrite(folder / "contentnet.pth", change)
    with pytest.raises(SDFlowError) as error:
        read_published(folder)
    message = str(error.value)
    assert message.startswith(f"{folder / 'contentnet.pth'}: ")
    assert told in message
    assert len(message.removeprefix(str(folder))) < 400


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 not a zip", b"\x80\x02.", pickle.dumps([1, 2]), pickle.dumps({"means": 1})],
)
def test_a_file_that_holds_something_else_is_refused_in_one_line(folder: Path, content: bytes) -> None:
    (folder / "contentnet.pth").unlink()
    (folder / "contentnet.pth").write_bytes(content)
    with pytest.raises(SDFlowError, match=r"contentnet\.pth: expected") as error:
        read_published(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(folder: Path, whole: Path, share: float) -> None:
    content = (whole / "contentnet.pth").read_bytes()
    (folder / "contentnet.pth").unlink()
    (folder / "contentnet.pth").write_bytes(content[: int(share * len(content))])
    with pytest.raises(SDFlowError, match=r"contentnet\.pth: expected a whole file"):
        read_published(folder)


@pytest.mark.parametrize("save", [torch.save, lambda v, path: path.write_bytes(pickle.dumps(v))])
def test_nothing_in_a_file_is_run(folder: Path, tmp_path: Path, save: Callable[[Any, Path], object]) -> None:
    proof = tmp_path / "ran"
    (folder / "contentnet.pth").unlink()
    save({"means": Trap(f"touch {proof}")}, folder / "contentnet.pth")
    with pytest.raises(SDFlowError, match="expected"):
        read_published(folder)
    assert not proof.exists()


def without(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).unlink()
    return folder


@torch.no_grad()
def test_without_the_lr_encoder_a_checkpoint_downscales_alone(folder: Path, original: SDFlow) -> None:
    save_checkpoint(folder / "out", read_published(without(folder, "lrencoder.pth")), {})
    model = load_checkpoint(folder / "out")
    y, latent = torch.rand(1, 3, 16, 16), torch.randn(1, 12, 2, 2)
    torch.testing.assert_close(
        model.decode_lr(model.encode_hr(y), latent), original.decode_lr(original.encode_hr(y), latent)
    )
    Downscaler(model)
    with pytest.raises(SDFlowError, match="can upscale, found one without encoder"):
        Upscaler(model)


@torch.no_grad()
def test_with_two_files_a_checkpoint_upscales_alone(folder: Path, original: SDFlow) -> None:
    save_checkpoint(folder / "out", read_published(without(folder, "contentnet.pth", "degnet.pth")), {})
    model = load_checkpoint(folder / "out")
    x, latent = torch.rand(1, 3, 4, 4), torch.randn(1, 45, 4, 4)
    torch.testing.assert_close(
        model.decode_hr(model.encode_lr(x), latent), original.decode_hr(original.encode_lr(x), latent)
    )
    Upscaler(model)
    with pytest.raises(
        SDFlowError, match="can downscale, found one without lr_flow, degradation_flow, prior"
    ):
        Downscaler(model)


@pytest.mark.parametrize(
    "absent",
    [tuple(FILES), ("hrnet.pth",), ("lrencoder.pth", "degnet.pth"), ("lrencoder.pth", "contentnet.pth")],
)
def test_files_that_give_no_direction_are_refused(folder: Path, absent: tuple[str, ...]) -> None:
    with pytest.raises(SDFlowError, match=r"expected hrnet\.pth with .*, found"):
        read_published(without(folder, *absent))


def test_the_command_says_what_the_checkpoint_can_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["import-published", str(without(folder, "lrencoder.pth")), str(folder / "out")])
    printed = capsys.readouterr().out
    assert "downscale: yes" in printed
    assert "upscale: no, it needs lrencoder.pth" in printed


def test_the_command_never_replaces_a_folder_of_other_things(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["import-published", str(folder), str(folder)])
    assert (folder / "hrnet.pth").exists()
    assert capsys.readouterr().err.startswith("Error: ")


@pytest.fixture(scope="module")
def reference(shared_path: Callable[[str], Path]) -> dict[str, Tensor]:
    """What the published code computes, and its inputs."""
    arrays = np.load(shared_path("golden") / "reference_seed7.npz")
    return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="module")
def imported(shared_path: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> SDFlow:
    """The reference's weights, through the command and a checkpoint."""
    folder = tmp_path_factory.mktemp("golden")
    script = shared_path("golden") / "make_checkpoint.py"
    subprocess.run([sys.executable, script, folder / "pth", "--seed", "7"], check=True)
    with pytest.raises(SystemExit, match="0"):
        main(["import-published", str(folder / "pth"), str(folder / "checkpoint")])
    return load_checkpoint(folder / "checkpoint")


@pytest.fixture(scope="module")
@torch.no_grad()
def computed(imported: SDFlow, reference: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same outputs from our model."""
    model, ours = imported, {}
    ours["content_hr"] = content_hr = model.encode_hr(reference["hr"])
    ours["content_lr"] = content_lr = model.encode_lr(reference["lr"])
    ours["z_lr"], ours["lr_flow_log_det"] = model.lr_flow(reference["lr"])
    ours["hr_log_likelihood_without_content_prior"] = model.log_prob_hr(reference["hr"])
    ours["deg_log_likelihood"] = model.log_prob_degradation(ours["z_lr"] - content_lr, content_lr)
    ours["z_d_from_eps_d"], _ = model.degradation_flow.inverse(reference["eps_d"], content_hr)
    ours["lr_from_hr"] = model.decode_lr(content_hr, reference["eps_d"])
    for k in (0, 5):
        mean = model.prior.latent(k, reference["eps_d"], 0.0)
        ours[f"lr_from_hr_component_{k}_temperature_0"] = model.decode_lr(content_hr, mean)
    ours["hr_from_lr"] = model.decode_hr(content_lr, reference["eps_h"])
    ours["hr_from_lr_temperature_0"] = model.decode_hr(content_lr, torch.zeros_like(reference["eps_h"]))
    return ours


@pytest.mark.parametrize(
    "name",
    [
        "content_hr",
        "content_lr",
        "z_lr",
        "z_d_from_eps_d",
        "lr_from_hr",
        "lr_from_hr_component_0_temperature_0",
        "lr_from_hr_component_5_temperature_0",
        "hr_from_lr",
        "hr_from_lr_temperature_0",
    ],
)
def test_images_and_latents_are_those_of_the_published_code(
    computed: dict[str, Tensor], reference: dict[str, Tensor], name: str
) -> None:
    torch.testing.assert_close(computed[name], reference[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "name", ["hr_log_likelihood_without_content_prior", "lr_flow_log_det", "deg_log_likelihood"]
)
def test_likelihoods_are_those_of_the_published_code(
    computed: dict[str, Tensor], reference: dict[str, Tensor], name: str
) -> None:
    torch.testing.assert_close(computed[name], reference[name], atol=0, rtol=1e-5)


def test_fast_downscaling_is_that_of_the_published_code(
    imported: SDFlow, reference: dict[str, Tensor]
) -> None:
    downscaler = Downscaler(imported)
    for y, latent, expected in zip(reference["hr"], reference["eps_d"], reference["lr_from_hr"]):
        lr = downscaler.sample(downscaler.encode(y[None]), latent[None])
        torch.testing.assert_close(lr, expected[None], atol=1e-4, rtol=0)


def test_fast_super_resolution_is_that_of_the_published_code(
    imported: SDFlow, reference: dict[str, Tensor]
) -> None:
    upscaler = Upscaler(imported)
    for x, latent, expected in zip(reference["lr"], reference["eps_h"], reference["hr_from_lr"]):
        hr = upscaler.sample(upscaler.encode(x[None]), latent[None])
        torch.testing.assert_close(hr, expected[None], atol=1e-4, rtol=0)
