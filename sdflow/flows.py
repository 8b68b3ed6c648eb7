"""The four flows of SDFlow, built from the layers."""

import torch
from torch import Tensor

from .bijection import Bijection, Chain
from .layers import (
    ActNorm,
    AffineCoupling,
    AffineInjector,
    InvertibleConv1x1,
    Lifting,
    MeasuredCamera,
    Squeeze,
    Unsqueeze,
)
from .networks import ConditionExtractor, DegradationExtractor


def transition(channels: int, from_data: bool) -> Chain:
    """A transition block: (ActNorm -> 1x1) twice, initialised to the identity.

    Args:
        from_data: whether the first batch sets its ActNorms.
    """
    return Chain(
        *(
            layer
            for _ in range(2)
            for layer in (ActNorm(channels, from_data), InvertibleConv1x1(torch.eye(channels)))
        )
    )


def flow_steps(
    channels: int, steps: int, width: int, condition_channels: int = 0, from_data: bool = True
) -> Chain:
    """Flow steps ActNorm -> 1x1 -> [injector] -> coupling.

    The 1x1 convolutions start as a reversal of the channels, so that every coupling changes the channels that
    the one before it left unchanged. An odd last one starts as the identity, which restores the order.

    Args:
        condition_channels: > 0 makes a conditional block: steps have an injector, couplings see the
            condition, the last step has no coupling, and the first batch sets the ActNorms. Unconditional
            flows carry the picture itself. They start as the identity, so that the initial content is a
            picture in its own colours.
        from_data: whether the first batch sets the ActNorms of a conditional block.
    """
    conditional = condition_channels > 0
    layers: list[Bijection] = []
    for step in range(steps):
        keeps_order = step == steps - 1 and steps % 2 == 1
        weight = torch.eye(channels) if keeps_order else torch.eye(channels).flip(0)
        layers += [ActNorm(channels, from_data and conditional), InvertibleConv1x1(weight)]
        if conditional:
            layers.append(AffineInjector(channels, width, condition_channels))
        if step < steps - 1 or not conditional:
            layers.append(AffineCoupling(channels, width, condition_channels))
    return Chain(*layers)


def _mean_of_four(levels_below: int) -> Tensor:
    """The channel mixing that moves the mean of each 2x2 block of the 3 content channels to the front.

    Args:
        levels_below: channels before the squeeze, of which the first 3 are content.

    Returns:
        (4C, 4C): rows 0..2 are the means, the next 9 the Haar details, the rest the other channels.
    """
    channels = 4 * levels_below
    weight = torch.eye(channels)
    haar = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 4
    weight[:12] = 0
    for kind in range(4):
        for colour in range(3):
            weight[3 * kind + colour, 4 * colour : 4 * colour + 4] = haar[kind]
    return weight


class HRFlow(Bijection):
    """f_HR: y (B, 3, sH, sW) <-> [z_c, z_h], channels 3 + 3(s^2 - 1), at LR size.

    One level for each factor of two: squeeze -> transition -> flow steps. f_HR starts as a Haar pyramid: z_c
    is the mean of each s x s block, so the content latent shows the picture from the first step on.

    Without flow steps it is a fixed pyramid: squeeze -> Haar -> ``Lifting``. Its z_c is Keys' antialiased
    bicubic downscaling times a gain. Nothing is learned, so that a measured camera stays valid for the
    content. f_HF can learn everything that f_HR could learn about z_h.

    Args:
        levels: levels of the pyramid.
        steps: flow steps of each level.
        width: hidden channels of the couplings.
    """

    def __init__(self, levels: int, steps: int, width: int) -> None:
        super().__init__()
        blocks: list[Bijection] = []
        for level in range(levels):
            channels = 3 * 4 ** (level + 1)
            means = InvertibleConv1x1(_mean_of_four(channels // 4))
            if steps == 0:
                blocks += [Squeeze(), means.requires_grad_(False), Lifting(channels)]
                continue
            start = transition(channels, from_data=False)
            start.maps[1] = means
            blocks += [Squeeze(), start, flow_steps(channels, steps, width)]
        self.chain = Chain(*blocks)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.chain(z)

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.chain.inverse(z)


class HFFlow(Bijection):
    """f_HF: z_h <-> z'_h given z_c, all at LR size; the condition is the content (B, 3, H, W).

    No gradient reaches the content through the condition.
    """

    def __init__(
        self, channels: int, steps: int, width: int, condition_channels: int, growth: int, blocks: int
    ) -> None:
        super().__init__()
        self.extractor = ConditionExtractor(condition_channels, growth, blocks)
        self.steps = flow_steps(channels, steps, width, condition_channels)

    def _features(self, content: Tensor | None) -> Tensor:
        assert content is not None, "the HF flow is conditional"
        return self.extractor(content.detach()).to(content.dtype)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.steps(z, self._features(condition))

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.steps.inverse(z, self._features(condition))


class LRFlow(Bijection):
    """f_LR: x <-> z_LR, both (B, 3, H, W): squeeze -> transition -> flow steps -> transition -> unsqueeze."""

    def __init__(self, steps: int, width: int) -> None:
        super().__init__()
        self.chain = Chain(
            Squeeze(),
            transition(12, from_data=False),
            flow_steps(12, steps, width),
            transition(12, from_data=False),
            Unsqueeze(),
        )

    def forward(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.chain(z)

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.chain.inverse(z)


class DegradationFlow(Bijection):
    """f_Deg: z_d (B, 3, H, W) <-> z'_d (B, 12, H/2, W/2) given z_c.

    [measured camera ->] squeeze -> transition -> conditional flow steps. The condition is the content
    (B, 3, H, W). The gradient reaches the content; detach the content to stop it.

    Args:
        steps, width, condition_channels, growth, blocks: see ``SDFlowConfig``.
        cameras: the number of measured cameras; 0 for none. With cameras, z_d is first mapped to white noise
            by its camera, and the following layers start as the identity.
    """

    def __init__(
        self,
        steps: int,
        width: int,
        condition_channels: int,
        growth: int,
        blocks: int,
        cameras: int = 0,
    ) -> None:
        super().__init__()
        self.camera = MeasuredCamera(cameras) if cameras else None
        self.extractor = DegradationExtractor(condition_channels, growth, blocks)
        self.start = Chain(Squeeze(), transition(12, from_data=not cameras))
        self.steps = flow_steps(12, steps, width, condition_channels, from_data=not cameras)

    def features(self, content: Tensor) -> Tensor:
        """The condition of the steps, (B, condition_channels, H/2, W/2); computed once per content."""
        return self.extractor(content).to(content.dtype)

    def forward(
        self, z: Tensor, condition: Tensor | None = None, camera: int | Tensor = 0
    ) -> tuple[Tensor, Tensor]:
        assert condition is not None, "the degradation flow is conditional"
        total = z.new_zeros(z.shape[0])
        if self.camera is not None:
            z, total = self.camera(z, condition, camera)
        z, start = self.start(z)
        z, steps = self.steps(z, self.features(condition))
        return z, total + start + steps

    def inverse(
        self, z: Tensor, condition: Tensor | None = None, camera: int | Tensor = 0
    ) -> tuple[Tensor, Tensor]:
        assert condition is not None, "the degradation flow is conditional"
        z, steps = self.steps.inverse(z, self.features(condition))
        z, start = self.start.inverse(z)
        total = steps + start
        if self.camera is not None:
            z, of_camera = self.camera.inverse(z, condition, camera)
            total = total + of_camera
        return z, total
