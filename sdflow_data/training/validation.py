"""Validation on aligned pairs of a real camera, which are not used for training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sdflow.errors import SDFlowError
from sdflow.model import SDFlow
from sdflow.resample import bicubic_downscale, quantise, to_levels, to_unit

from ..images.codec import Codec, Jpeg
from ..images.finding import pair_by_name
from ..images.reading import read_header, read_picture

PICTURES, SIDE, BORDER = 8, 160, 12
"""Number of pairs, spread evenly over the folder; side of their central crop and the cropped border, in LR
pixels. Validation takes about as long as two training steps."""

_SMALLEST = 2 * BORDER + 16

_Crops = tuple[Tensor, Tensor, tuple[int, int]]
"""HR (1, 3, s*h, s*w) and LR (1, 3, h, w) uint8, and the row and column of the LR crop in its picture."""


class ValidationPairs:
    """Central crops of aligned pairs: an HR and an LR picture of the same name, in two folders.

    Args:
        hr_folder, lr_folder: the folders, searched to any depth. Partners have the same path, except for the
            suffix.
        scale: s, the ratio of HR to LR size.

    Raises:
        SDFlowError: a folder is missing or empty, a picture has no partner or does not fit its size, or a
            file is not a picture.
    """

    def __init__(self, hr_folder: Path, lr_folder: Path, scale: int) -> None:
        pairs = pair_by_name(hr_folder, lr_folder)
        for pair in pairs:
            _check_sizes(*pair, scale)
        chosen = np.unique(np.linspace(0, len(pairs) - 1, PICTURES).round().astype(int)).tolist()
        self._pairs = [_crops(hr, lr, scale) for hr, lr in (pairs[index] for index in chosen)]
        self.bicubic = self._mean_psnr(
            [quantise(to_levels(bicubic_downscale(to_unit(hr), scale))) for hr, _, _ in self._pairs]
        )

    def __len__(self) -> int:
        return len(self._pairs)

    @torch.no_grad()
    def psnr(self, model: SDFlow, device: str, codecs: Sequence[Codec]) -> float:
        """Grey PSNR in dB of the model's output at temperature 0 against the real LR, mean over the pairs.

        If the model has several cameras, the most frequent one is used. The output is compressed as the
        camera's pictures are, with settings drawn for each pair and the grid of the whole picture.

        Args:
            model: the model.
            device: its device.
            codecs: the codec of each component.
        """
        component = int(model.shares.argmax())
        outputs = []
        for number, (hr, _, corner) in enumerate(self._pairs):
            content = model.encode_hr(to_unit(hr.to(device)))
            noise = content.new_zeros(1, *model.latent_shape_lr(*content.shape[-2:]))
            output = model.decode_lr(content, model.latent_lr(None, noise, temperature=0), component)
            levels = quantise(to_levels(output.nan_to_num()).cpu())
            outputs.append(_coded(levels, codecs[component].draw(number), *corner))
        return self._mean_psnr(outputs)

    def _mean_psnr(self, outputs: list[Tensor]) -> float:
        return float(np.mean([grey_psnr(output, lr) for output, (_, lr, _) in zip(outputs, self._pairs)]))


def grey_psnr(image: Tensor, truth: Tensor) -> float:
    """PSNR in dB of brightness (ITU-R BT.601) of (B, 3, H, W) uint8 images, ``BORDER`` pixels cropped."""
    difference = (image.double() - truth.double())[..., BORDER:-BORDER, BORDER:-BORDER]
    error = torch.einsum("bchw,c->bhw", difference, difference.new_tensor([0.299, 0.587, 0.114]))
    return float(10 * torch.log10(255**2 / error.square().mean().clamp_min(1e-10)))


def _coded(levels: Tensor, jpeg: Jpeg | None, top: int, left: int) -> Tensor:
    """A crop (1, 3, h, w) uint8 after compression of its picture; its place determines the JPEG grid."""
    if jpeg is None:
        return levels
    coded = jpeg.apply(levels[0].permute(1, 2, 0).contiguous().numpy(), top, left)
    return torch.from_numpy(coded.copy()).permute(2, 0, 1)[None]


def _check_sizes(hr: Path, lr: Path, scale: int) -> None:
    large, small = read_header(hr), read_header(lr)
    expected = (scale * small.height, scale * small.width)
    if (large.height, large.width) != expected:
        raise SDFlowError(
            f"{hr}: expected {expected[1]}x{expected[0]} pixels, {scale} times those of {lr.name} in "
            f"{lr.parent}, found {large.width}x{large.height}"
        )
    if min(small.height, small.width) < _SMALLEST:
        raise SDFlowError(
            f"{lr}: expected at least {_SMALLEST}x{_SMALLEST} pixels, found {small.width}x{small.height}"
        )


def _crops(hr: Path, lr: Path, scale: int) -> _Crops:
    """The central crops of a pair. Their places and sizes are even, like those of tiles in generation."""
    pictures = [torch.from_numpy(read_picture(path)).permute(2, 0, 1)[None] for path in (hr, lr)]
    sides = [min(SIDE, side) // 2 * 2 for side in pictures[1].shape[-2:]]
    tops = [(whole - side) // 4 * 2 for whole, side in zip(pictures[1].shape[-2:], sides)]
    cut_hr, cut_lr = _window(pictures[0], tops, sides, scale), _window(pictures[1], tops, sides, 1)
    return cut_hr, cut_lr, (tops[0], tops[1])


def _window(picture: Tensor, tops: list[int], sides: list[int], scale: int) -> Tensor:
    rows, columns = (slice(scale * top, scale * (top + side)) for top, side in zip(tops, sides))
    return picture[..., rows, columns].contiguous()
