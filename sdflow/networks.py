"""The networks that are not invertible: the condition extractors and the LR content extractor E."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@torch.no_grad()
def kaiming_init(network: nn.Module, slope: float, gain: float = 1.0) -> None:
    """Kaiming initialisation of a network's convolutions (He et al., 2015), biases zero.

    PyTorch's default shrinks signals by 0.6 a layer. A condition would reach the flow steps at a hundredth of
    its size and would be learned as slowly.

    Args:
        slope: negative slope of the LeakyReLUs.
        gain: a further factor, for branches that are added to a skip connection.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=slope)
            layer.weight.mul_(gain)
            if layer.bias is not None:
                layer.bias.zero_()


def reflecting_conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size, with reflection padding."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, padding_mode="reflect")


class DenseBlock(nn.Module):
    """Dense block: five convolutions, each fed by all before it (ESRGAN, 2018); residual times 0.2."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels + i * growth, growth if i < 4 else channels, 3, padding=1) for i in range(5)
        )

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for conv in self.convs[:-1]:
            features.append(F.leaky_relu(conv(torch.cat(features, 1)), 0.2))
        return x + 0.2 * self.convs[-1](torch.cat(features, 1))


class RRDB(nn.Module):
    """Residual in residual dense block: three dense blocks, residual times 0.2 (ESRGAN, 2018)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(channels, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.2 * self.blocks(x)


class ConditionExtractor(nn.Module):
    """Content (B, 3, H, W) -> features (B, channels, H, W) that condition a flow.

    conv -> RRDB trunk -> conv, plus skip; conv -> LeakyReLU 0.2 -> conv.
    """

    def __init__(self, channels: int, growth: int, blocks: int) -> None:
        super().__init__()
        self.conv_in = reflecting_conv(3, channels)
        self.trunk = nn.Sequential(*(RRDB(channels, growth) for _ in range(blocks)))
        self.conv_trunk = reflecting_conv(channels, channels)
        self.conv_out = nn.Sequential(
            reflecting_conv(channels, channels), nn.LeakyReLU(0.2), reflecting_conv(channels, channels)
        )
        kaiming_init(self, slope=0.2)
        kaiming_init(self.trunk, slope=0.2, gain=0.1)

    def forward(self, content: Tensor) -> Tensor:
        features = self.conv_in(content)
        return self.conv_out(features + self.conv_trunk(self.trunk(features)))


class DegradationExtractor(nn.Module):
    """Content (B, 3, H, W) -> condition of the degradation flow (B, channels, H/2, W/2)."""

    def __init__(self, channels: int, growth: int, blocks: int) -> None:
        super().__init__()
        self.features = ConditionExtractor(channels, growth, blocks)
        self.squeeze = nn.Conv2d(4 * channels, channels, 1)
        kaiming_init(self.squeeze, slope=0.2)

    def forward(self, content: Tensor) -> Tensor:
        return F.leaky_relu(self.squeeze(F.pixel_unshuffle(self.features(content), 2)), 0.2)


class FeatureModulation(nn.Module):
    """``f * tanh(s / (g + 1e-6)) * g + b`` with [s, b] a 1x1 convolution of m, and g = exp(log_scale)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.affine = nn.Conv2d(channels, 2 * channels, 1)
        self.log_scale = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor, modulation: Tensor) -> Tensor:
        scale, shift = self.affine(modulation).chunk(2, 1)
        gain = torch.exp(self.log_scale)
        return features * torch.tanh(scale / (gain + 1e-6)) * gain + shift


class ModulatedBlock(nn.Module):
    """FM -> conv -> LeakyReLU 0.2 -> FM -> conv; residual times 0.1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.modulate1, self.modulate2 = FeatureModulation(channels), FeatureModulation(channels)
        self.conv1, self.conv2 = reflecting_conv(channels, channels), reflecting_conv(channels, channels)

    def forward(self, features: Tensor, modulation: Tensor) -> Tensor:
        inner = F.leaky_relu(self.conv1(self.modulate1(features, modulation)), 0.2)
        return features + 0.1 * self.conv2(self.modulate2(inner, modulation))


class ContentExtractor(nn.Module):
    """E: a real LR image (B, 3, H, W) in [-1, 1] -> its content latent z_c (B, 3, H, W).

    E starts as a blurred copy of the image. The degradation latent then accounts for the rest, mainly noise,
    from the first step on. An E that started as a copy would keep the noise in the content.
    """

    def __init__(self, channels: int, blocks: int, modulation_convs: int) -> None:
        super().__init__()
        self.conv_in = reflecting_conv(3, channels)
        self.modulation = nn.ModuleList(reflecting_conv(channels, channels) for _ in range(modulation_convs))
        self.trunk = nn.ModuleList(ModulatedBlock(channels) for _ in range(blocks))
        self.conv_out = reflecting_conv(channels, channels)
        self.project = nn.Conv2d(channels, 3, 1)
        kaiming_init(self, slope=0.2)
        self._begin_as_blur()

    @torch.no_grad()
    def _begin_as_blur(self) -> None:
        binomial = torch.tensor([1.0, 2.0, 1.0]) / 4
        kernel = torch.outer(binomial, binomial)
        for layer in (self.conv_in, self.conv_out, self.project):
            for parameter in layer.parameters():
                parameter[:6].zero_()
        self.project.weight.normal_(std=1e-3)
        self.project.weight[:, :6].zero_()
        split = 1 + 0.2  # LeakyReLU(v) - LeakyReLU(-v) = 1.2 v: a colour travels as the pair (v, -v)
        for colour in range(3):
            for sign, channel in ((1, colour), (-1, colour + 3)):
                self.conv_in.weight[channel, colour] = sign * kernel
                self.conv_out.weight[channel, colour] = sign * kernel / (2 * split)  # the skip doubles it
                self.conv_out.weight[channel, colour + 3] = -sign * kernel / (2 * split)
                self.project.weight[colour, channel] = sign / split

    def forward(self, x: Tensor) -> Tensor:
        first = F.leaky_relu(self.conv_in(x), 0.2)
        modulation = first
        for conv in self.modulation:
            modulation = F.leaky_relu(conv(modulation), 0.2)
        features = first
        for block in self.trunk:
            features = block(features, modulation)
        out = self.project(F.leaky_relu(self.conv_out(first + features), 0.2))
        return out.to(x.dtype)
