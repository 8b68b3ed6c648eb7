"""The discriminators of training and their losses; a finished model has none of them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .filters import gaussian_blur


class PatchDiscriminator(nn.Module):
    """Small overlapping patches of an image -> how real each looks (Isola et al., pix2pix, 2017).

    Args:
        in_channels: of the image.
        width: hidden channels.
        strides: one 3x3 convolution each.
    """

    def __init__(self, in_channels: int, width: int, strides: tuple[int, ...] = (1, 2, 1)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for stride in strides:
            layers += [nn.Conv2d(channels, width, 3, stride, padding=1), nn.LeakyReLU(0.2)]
            channels = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).float()


class TextureDiscriminator(nn.Module):
    """Scores an image (B, 3, H, W) by what a blur takes away from it, given the brightness around.

    Unpaired sets show different scenes, so their colours differ, and a discriminator that saw them would pull
    the samples towards the other set's colours. Brightness is told (camera noise grows with it) but no
    gradient goes through it.
    """

    def __init__(self, width: int, strides: tuple[int, ...] = (1, 2, 1)) -> None:
        super().__init__()
        self.patches = PatchDiscriminator(4, width, strides)

    def forward(self, images: Tensor) -> Tensor:
        low = gaussian_blur(images, sigma=2.0)
        brightness = low.detach().mean(1, keepdim=True)
        return self.patches(torch.cat([4 * (images - low), brightness], 1))


def lsgan_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares (Mao et al., LSGAN, 2017): real is to score 1, fake 0."""
    return 0.5 * (F.mse_loss(real, torch.ones_like(real)) + F.mse_loss(fake, torch.zeros_like(fake)))


def lsgan_generator_loss(fake: Tensor) -> Tensor:
    """The generator's side of it: fake is to score 1."""
    return 0.5 * F.mse_loss(fake, torch.ones_like(fake))
