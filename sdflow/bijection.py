"""The contract of every invertible map in SDFlow."""

from torch import Tensor, nn


class Bijection(nn.Module):
    """An invertible map z -> z' of images, optionally conditional.

    ``forward(z, condition)`` returns (z', log|det dz'/dz|); ``inverse(z', condition)`` returns
    (z, log|det dz/dz'|), so that the two log-determinants of a round trip sum to zero. Shapes: z is
    (B, C, H, W), the condition (B, C', H', W') or None, a log-determinant (B,), one number per image.
    """

    def forward(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """z' and log|det dz'/dz|, (B,)."""
        raise NotImplementedError

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """z and log|det dz/dz'|, (B,), for z'."""
        raise NotImplementedError


class Chain(Bijection):
    """A composition of bijections that share one condition; their log-determinants add up."""

    def __init__(self, *maps: Bijection) -> None:
        super().__init__()
        self.maps = nn.ModuleList(maps)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._cascade(z, condition, inverse=False)

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._cascade(z, condition, inverse=True)

    def _cascade(self, z: Tensor, condition: Tensor | None, inverse: bool) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(z.shape[0])
        for bijection in reversed(self.maps) if inverse else self.maps:
            assert isinstance(bijection, Bijection)
            z, log_det = bijection.inverse(z, condition) if inverse else bijection(z, condition)
            total = total + log_det
        return z, total
