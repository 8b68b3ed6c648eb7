"""Pairs made on the fly are those that a dataset holds; a model as a layer depends on its seed alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from factory import InProcess, write_pictures

from sdflow.errors import SDFlowError
from sdflow_data import Degradation, OnTheFly
from sdflow_data.dataset.manifest import read_dataset
from sdflow_data.generation.run import GenerationRequest, generate
from sdflow_data.images.codec import parse_codec

SETTINGS = {"patch_size": 16, "variants": 3, "seed": 7}

Pictures = tuple[bytes, bytes]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("hr"))


def stored(folder: Path) -> list[Pictures]:
    return sorted(
        (patch.hr.tobytes(), lr.tobytes()) for patch in read_dataset(folder).patches() for lr in patch.lr
    )


def levels(images: torch.Tensor) -> np.ndarray:
    return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def made(pairs: OnTheFly) -> list[Pictures]:
    return [(a.tobytes(), b.tobytes()) for hr, lr in pairs for a, b in zip(levels(hr), levels(lr))]


@pytest.mark.parametrize("kind", ["classical", "sdflow"])
def test_an_epoch_has_the_samples_that_a_dataset_would_hold(
    photographs: Path, tiny_checkpoint: Path, tmp_path: Path, kind: str
) -> None:
    model = {"classical": "classical", "sdflow": str(tiny_checkpoint)}[kind]
    settings = SETTINGS | {"scale": 2, "device": "cpu", "precision": "fp32"}
    generate(GenerationRequest(model=model, **settings), [photographs], tmp_path / "out", InProcess())
    pairs = OnTheFly(model, photographs, batch_size=5, **settings)
    assert sorted(made(pairs)) == stored(tmp_path / "out")
    assert [len(hr) for hr, _ in pairs][:-1] == [5] * (len(pairs) - 1)


def test_a_patch_is_encoded_once_for_all_its_samples(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = OnTheFly("bicubic", photographs, scale=2, window=4, **SETTINGS)
    asked = []
    degrader = pairs._maker.degrader
    original = degrader.degrade

    def counted(hr: np.ndarray, *arguments: object, **options: object) -> object:
        asked.append(hr.tobytes())
        return original(hr, *arguments, **options)

    monkeypatch.setattr(degrader, "degrade", counted)
    assert len(made(pairs)) == 3 * len(asked)
    assert len(asked) == len(set(asked))


def test_the_threads_of_a_training_stay_as_they_are(photographs: Path) -> None:
    torch.set_num_threads(2)
    try:
        made(OnTheFly("bicubic", photographs, scale=2, **SETTINGS))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_the_order_depends_on_the_epoch_alone(photographs: Path) -> None:
    pairs = OnTheFly("bicubic", photographs, scale=2, **SETTINGS)
    first = made(pairs)
    assert made(pairs) == first
    pairs.set_epoch(1)
    second = made(pairs)
    assert second != first
    assert sorted(second) == sorted(first)


def test_distributed_processes_get_equal_shares_that_hold_every_sample(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(OnTheFly("classical", photographs, scale=2, **SETTINGS))
    shares = []
    for rank in range(2):
        monkeypatch.setattr("sdflow_data.generation.on_the_fly.world", lambda rank=rank: (rank, 2))
        shares.append(made(OnTheFly("classical", photographs, scale=2, **SETTINGS)))
    assert len(shares[0]) == len(shares[1])
    assert set(shares[0]) | set(shares[1]) == set(whole)


def test_a_photograph_that_is_gone_is_left_out_and_told(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "hr")
    pairs = OnTheFly("bicubic", folder, scale=2, **SETTINGS)
    (folder / "1.png").unlink()
    with pytest.warns(UserWarning, match=r"1\.png: left out: "):
        rest = made(pairs)
    assert len(rest) == 2 * 27
    assert [failure.source for failure in pairs.failures] == ["1.png"]


def test_a_folder_without_a_photograph_of_use_is_refused(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "hr")
    with pytest.raises(SDFlowError, match="expected photographs to cut patches from"):
        OnTheFly("bicubic", folder, scale=2, patch_size=64)


# The layer


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, 3, 16, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["bicubic", "classical", "sdflow"])
def test_a_batch_in_gives_a_batch_of_that_scale_in_range(
    images: torch.Tensor, tiny_checkpoint: Path, kind: str
) -> None:
    layer = Degradation(tiny_checkpoint if kind == "sdflow" else kind, scale=2, device="cpu")
    lr = layer(images, seed=0)
    assert (lr.shape, lr.dtype) == ((3, 3, 8, 12), torch.float32)
    assert 0 <= lr.min() <= lr.max() <= 1


def test_a_layer_gives_the_same_for_a_seed_or_a_generator_and_else_another(images: torch.Tensor) -> None:
    layer = Degradation("classical", scale=2)
    assert torch.equal(layer(images, seed=3), layer(images, seed=3))
    assert not torch.equal(layer(images, seed=3), layer(images, seed=4))
    one, other = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    first = layer(images, generator=one)
    assert torch.equal(first, layer(images, generator=other))
    assert not torch.equal(first, layer(images, generator=one))
    torch.manual_seed(6)
    third = layer(images)
    torch.manual_seed(6)
    assert torch.equal(third, layer(images))


def test_images_of_a_batch_have_streams_of_their_own(images: torch.Tensor) -> None:
    lr = Degradation("classical", scale=2)(images[:1].expand(2, -1, -1, -1), seed=0)
    assert not torch.equal(lr[0], lr[1])


def test_a_layer_neither_trains_nor_enters_a_checkpoint(images: torch.Tensor, tiny_checkpoint: Path) -> None:
    layer = Degradation(tiny_checkpoint, device="cpu")
    assert list(layer.parameters()) == []
    assert layer.state_dict() == {}
    assert not layer(images.requires_grad_(), seed=0).requires_grad


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 1, 16, 16), (1, 3, 15, 16), (1, 3, 0, 16)])
def test_a_batch_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="hr: expected"):
        Degradation("bicubic", scale=2)(torch.zeros(shape), seed=0)


def test_a_layer_compresses_as_the_camera_of_its_model(
    images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = Degradation("bicubic", scale=2)
    plain = layer(images, seed=0)
    monkeypatch.setattr(layer._degrader, "codecs", (parse_codec("jpeg:30"),))
    coded = layer(images, seed=0)
    assert not torch.equal(coded, plain)
    assert (coded - plain).abs().mean() < 0.1
