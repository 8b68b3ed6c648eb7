"""The noise of flat places: the flattest windows of each brightness, and what they hold besides texture."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .camera import KNOTS, ROUNDING
from .filters import gaussian_blur
from .jackknife import above_chance
from .spectra import (
    SIZE,
    cross_spectrum,
    opponent_colours,
    power_of,
    radial_frequency,
    variance_of,
    variance_of_power,
    windows_of_picture,
)

FLAT_SIZE = 16
"""Side of the flat windows. Larger ones are seldom flat, and smaller ones miss coarse noise of colours."""
RANGES = 8
"""Ranges of brightness, each with flat windows of its own."""
_FLAT, _LEAST_FLAT = 80, 8
"""Flat windows of a range: as many as are kept, and as few as can be trusted."""
_AS_FLAT = 1.5
"""How many times rougher than the flattest few a window may be to count as flat."""
_LAST = 1e4
"""Rougher than any window is."""
_TEXTURED = 4.0
"""A range whose flattest windows are so many times rougher than another's has texture in all of them."""
_DETAILED = 2.0
"""How many times more power of fine detail than the least detailed a flat window may have."""
_NOISE_IN_ROUGHNESS = 1 / (16 * math.pi)
"""Of white noise, the share of the variance that the blur leaves by which roughness is told."""
_REACH, _SPREAD = 24.0, 0.1
"""Grey levels over which noise changes little, and the error of a variance without texture."""
_END_REACH, _LEAST_AT_END = 48.0, 0.25
"""Grey levels over which ranges tell how the noise goes on beyond the last, and the share of the last range's
variance that is left at least."""
_LEAST_NOISE = 0.1
"""The share of the flat windows' power that is noise at least."""
_SMOOTH = 0.5
"""Grey levels of roughness below which all windows are alike."""
_BLACK, _CLIPPED = 1.0, 0.01
"""The share of samples within a level of 0 or 255 from which on a window is clipped, and its noise gone."""
_NOISE_FROM = 0.15
"""Cycles per pixel under which what flat windows hold of brightness is mostly the picture, not noise."""
_PLATEAU = (0.15, 0.22)
"""Where the noise of brightness is read that is taken to go on below."""
_LEAST_VARIANCE = 1e-3
"""Of noise: a codec may leave none."""


@dataclass(frozen=True)
class _Flat:
    """Flat windows (n, 3, 16, 16) of one range of brightness and their roughness (n,)."""

    windows: Tensor
    roughness: Tensor

    def spectrum(self) -> Tensor:
        """Their mean cross-spectrum, (32, 17, 3, 3)."""
        return cross_spectrum(opponent_colours(self.windows)).mean(0)


class FlatWindows:
    """The flattest windows of each range of brightness.

    Args:
        photographs: how many are to come, about.
    """

    def __init__(self, photographs: int) -> None:
        self._share = max(4, 2 * _FLAT // max(1, photographs))
        self._roughness = torch.full((RANGES, _FLAT), math.inf)
        self._windows = torch.zeros(RANGES, _FLAT, 3, FLAT_SIZE, FLAT_SIZE)

    def add(self, picture: Tensor) -> None:
        """A picture (3, H, W) in grey levels."""
        cut = windows_of_picture(picture, FLAT_SIZE)
        low = gaussian_blur(picture[None].float(), 2.0)
        roughness = windows_of_picture(low[0], FLAT_SIZE).flatten(2).var(2).mean(1).sqrt()
        clipped = ((cut <= _BLACK) | (cut >= 255 - _BLACK)).float().mean((1, 2, 3)) > _CLIPPED
        roughness = roughness + _LAST * clipped  # its noise is cut off: for want of others alone
        place = (cut.mean((1, 2, 3)) * (RANGES / 256)).long().clamp(0, RANGES - 1)
        for k in place.unique().tolist():
            self._keep_flattest(k, roughness[place == k], cut[place == k])

    def _keep_flattest(self, place: int, roughness: Tensor, cut: Tensor) -> None:
        nearest = roughness.topk(min(self._share, len(roughness)), largest=False)
        candidates = torch.cat([self._roughness[place], nearest.values])
        kept = candidates.topk(_FLAT, largest=False, sorted=True)
        self._roughness[place] = kept.values
        self._windows[place] = torch.cat([self._windows[place], cut[nearest.indices]])[kept.indices]

    def chosen(self) -> list[_Flat]:
        """The flat windows of each range that has some: those whose fine detail is not above the others'."""
        flattest = self._roughness[:, :_LEAST_FLAT].median(1).values
        textured = _TEXTURED * flattest.min().clamp(min=_SMOOTH)  # a codec leaves nothing at all of some
        known = self._roughness[:, _LEAST_FLAT - 1].isfinite() & (flattest < textured)
        chosen = []
        for k in known.nonzero()[:, 0].tolist():
            use = self._roughness[k] <= _AS_FLAT * flattest[k]
            windows, roughness = self._windows[k][use], self._roughness[k][use]
            fine = variance_of_power(power_of(cross_spectrum(opponent_colours(windows))), _NOISE_FROM).sum(1)
            lowest = fine.topk(max(_LEAST_FLAT // 2, len(fine) // 4), largest=False).values.mean()
            use = fine <= _DETAILED * lowest
            chosen.append(_Flat(windows[use], roughness[use]))
        return chosen

    def all(self) -> list[_Flat]:
        """Whatever there is, as one range: for few and small photographs."""
        use = self._roughness.isfinite()
        return [_Flat(self._windows[use], self._roughness[use])]


class FlatNoise:
    """The noise of flat places, at the brightnesses of which photographs show some.

    Args:
        photographs, contents: the flat windows of both sides.

    Attributes:
        levels: (R,), the brightnesses, in grey levels.
        variance: (R, 3), the variance of each colour's flat windows, of noise and texture.
    """

    def __init__(self, photographs: FlatWindows, contents: FlatWindows) -> None:
        self._photographs = photographs.chosen() or photographs.all()
        of_contents = contents.chosen() or contents.all()
        self._contents_roughness = torch.cat([part.roughness for part in of_contents])
        shown = torch.cat([part.windows for part in of_contents])
        self._contents_power = power_of(cross_spectrum(opponent_colours(shown)))
        self._spectra = torch.stack([part.spectrum() for part in self._photographs])
        self.levels = torch.stack([part.windows.mean() for part in self._photographs])
        self.variance = variance_of(self._spectra)

    def without_texture(self, gain: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """The noise, if the camera has this response.

        Args:
            gain: |K|^2, (32, 17, 3).
            variance: (R, 3), that of the noise as far as it is known.

        Returns:
            Its variance (R, 3), and its cross-spectrum for the variance 1 of each colour, (32, 17, 3, 3).
        """
        texture = gain * self._texture(variance)
        variance, shape = _noise(self._spectra, texture)
        in_doubt = variance_of_power(texture) / self.variance.clamp(min=_LEAST_VARIANCE)
        return _smoothed(self.levels, variance, in_doubt), shape

    def _texture(self, variance: Tensor) -> Tensor:
        """Power spectra of contents that are as rough as the photographs' flat windows: (R, 32, 17, 3)."""
        found = []
        for part, of_range in zip(self._photographs, variance):
            of_noise = of_range.mean() * _NOISE_IN_ROUGHNESS
            wanted = (part.roughness.square() - of_noise).clamp(min=0).sqrt()
            off = (self._contents_roughness - wanted[:, None]).abs()
            nearest = off.topk(min(_LEAST_FLAT, off.shape[1]), largest=False).indices
            found.append(self._contents_power[nearest.flatten()].mean(0))
        return torch.stack(found)

    def strength(self, variance: Tensor) -> Tensor:
        """g, (3, 17), of variances (R, 3)."""
        return interpolated(*_with_ends(self.levels, variance)).sqrt()


def _noise(found: Tensor, texture: Tensor) -> tuple[Tensor, Tensor]:
    """Variance (R, 3) of the noise in each of R ranges of brightness, and the shape of its spectrum.

    Args:
        found: mean cross-spectra of the photographs' flat windows, (R, 32, 17, 3, 3).
        texture: power spectra of what is the picture in them, (R, 32, 17, 3).
    """
    spectrum = found - ROUNDING * torch.eye(3)
    left = (1 - texture / power_of(spectrum).clamp(min=1e-9)).clamp(min=_LEAST_NOISE).sqrt()
    spectrum = spectrum * left[..., :, None] * left[..., None, :]
    variance = variance_of(_continued(_positive(spectrum))).clamp(min=_LEAST_VARIANCE)
    deviation = variance.sqrt()
    unit = spectrum / (deviation[:, None] * deviation[:, :, None])[:, None, None]
    shape = _continued(_positive(_flip_symmetric(unit.mean(0))))
    deviation = variance_of(shape).sqrt()
    return variance, shape / (deviation[:, None] * deviation)


def _smoothed(levels: Tensor, variance: Tensor, texture: Tensor) -> Tensor:
    """Variances (R, 3) that rise and fall smoothly with brightness, the more so where texture is in doubt."""
    if len(levels) < 3:
        return variance
    weight = 1 / (_SPREAD**2 + texture.mean(1).square())  # (R,)
    near = torch.exp(-0.5 * ((levels[:, None] - levels) / _REACH) ** 2) * weight
    near = near / near.sum(1, keepdim=True)
    # A line in brightness, fitted around each of them: the ends keep their slope.
    mean = near @ levels
    spread = (near * (levels - mean[:, None]) ** 2).sum(1)
    value = variance.log()
    centre = near @ value
    slope = ((near * (levels - mean[:, None])) @ value) / spread.clamp(min=1)[:, None]
    return (centre + slope * (levels - mean)[:, None]).exp()


def _with_ends(levels: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Brightnesses (R,) and variances (R, 3), with those of black and white before and after them.

    Photons and read-out make the variance a line in brightness (Foi et al., IEEE TIP 17, 2008). One is fitted
    at either end, mostly to the ranges near it, and its slope is shrunk by its error.
    """
    if len(levels) < 3:
        return levels, variance
    ends = []
    for end, last in ((0.0, 0), (255.0, -1)):
        near = torch.exp(-0.5 * ((levels - levels[last]) / _END_REACH) ** 2)
        mean = (near * levels).sum() / near.sum()
        weight = near * (levels - mean) / (near * (levels - mean) ** 2).sum()
        slope, error = weight @ variance, _SPREAD**2 * (weight.square() @ variance.square())
        slope = slope * above_chance(slope.square(), error)
        continued = variance[last] + slope * (end - levels[last])
        ends.append(torch.maximum(continued, _LEAST_AT_END * variance[last])[None])
    black, white = torch.tensor([0.0]), torch.tensor([255.0])
    return torch.cat([black, levels, white]), torch.cat([ends[0], variance, ends[1]])


def interpolated(levels: Tensor, values: Tensor, knots: Tensor | None = None) -> Tensor:
    """Values (R, 3) at rising levels (R,) -> at the knots (3, n); constant beyond the first and the last."""
    knots = torch.linspace(0, 255, KNOTS) if knots is None else knots
    if len(levels) == 1:
        return values.T.expand(3, len(knots)).clone()
    above = torch.searchsorted(levels, knots).clamp(1, len(levels) - 1)
    low, high = levels[above - 1], levels[above]
    share = ((knots - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)  # black alone is at 0 already
    return torch.lerp(values[above - 1], values[above], share[:, None]).T.contiguous()


def _flip_symmetric(spectra: Tensor) -> Tensor:
    """The mean of a spectrum and its mirror image, (32, 17, ...): mirrored borders ask for it."""
    return (spectra + spectra.roll(-1, 0).flip(0)) / 2


def _positive(spectra: Tensor) -> Tensor:
    """The nearest cross-spectrum with powers in all directions of colour."""
    values, vectors = torch.linalg.eigh(spectra)
    floor = 1e-3 * values.mean((-3, -2, -1), keepdim=True).clamp(min=1e-6)
    return torch.einsum("...ik,...k,...jk->...ij", vectors, torch.maximum(values, floor), vectors)


def _continued(spectra: Tensor) -> Tensor:
    """Noise of brightness below ``_NOISE_FROM`` no stronger than just above it: the rest is the picture."""
    frequency = radial_frequency(SIZE)
    plateau, low = (frequency >= _PLATEAU[0]) & (frequency < _PLATEAU[1]), frequency < _NOISE_FROM
    brightness = spectra[..., 0, 0]
    level = brightness[..., plateau].mean(-1)[..., None, None]
    factor = torch.where(low, (level / brightness).clamp(max=1).sqrt(), 1.0)
    scale = torch.stack([factor, torch.ones_like(factor), torch.ones_like(factor)], -1)
    return spectra * scale[..., :, None] * scale[..., None, :]
