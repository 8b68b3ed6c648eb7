"""Perceptual distance in features of VGG-19 (Simonyan & Zisserman, 2015); the user provides the weights."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import SDFlowError
from .published import read_pickled
from .tensors import read_tensors

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Statistics of ImageNet, for images in [0, 1]."""

_STAGES = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512, 512, 512, 512))


class PerceptualDistance(nn.Module):
    """The mean absolute difference of the VGG-19 features of two images, before the last ReLU (conv5_4).

    The features are 16 times smaller than the image: 2 x 2 for crops of 32 pixels, each of which sees
    the whole crop. The network is frozen; gradients go through it to the images.

    Args:
        weights: a file with the state dict of torchvision's ``vgg19``, .pth or .safetensors. The classifier
            is not used.

    Raises:
        SDFlowError: the file is damaged or has other weights. The message names the first wrong tensor.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.features = _vgg19()
        self.features.load_state_dict(_checked(_read(weights), self.features, weights))
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """The distance of images (B, 3, H, W) in [-1, 1] with sides >= 16. The target gets no gradient."""
        with torch.no_grad():
            expected = self.features(self._normalised(target))
        return F.l1_loss(self.features(self._normalised(image)).float(), expected.float())

    def _normalised(self, image: Tensor) -> Tensor:
        return ((image + 1) / 2 - self.mean) / self.std


def _vgg19() -> nn.Sequential:
    """The layers up to conv5_4, numbered as torchvision numbers them."""
    layers: list[nn.Module] = []
    channels = 3
    for widths in _STAGES:
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers[:-2])


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".safetensors":
        return read_pickled(path)
    try:
        return read_tensors(path)[0]
    except ValueError as error:
        raise SDFlowError(f"{path}: expected a whole safetensors file, found {error}") from error


def _checked(state: dict[str, Tensor], network: nn.Module, path: Path) -> dict[str, Tensor]:
    """The network's part of a state dict, with names, shapes and types checked."""
    found = {}
    for name, parameter in network.state_dict().items():
        value = state.get(f"features.{name}")
        if value is None:
            raise SDFlowError(f"{path}: expected the weights of VGG-19, found no features.{name}")
        if value.shape != parameter.shape or not value.is_floating_point():
            raise SDFlowError(
                f"{path}: features.{name}: expected floats of shape {tuple(parameter.shape)}, "
                f"found {value.dtype} of {tuple(value.shape)}"
            )
        found[name] = value
    return found
