"""The measurement of a camera from averages of power spectra, of photographs that are not paired.

The two sets of photographs show other scenes, but scenes are alike on average. With S the mean power spectra
of photographs x and contents c in an opponent colour o,

    |K_o(f)|^2 = (S_x,o(f) - noise(f)) / S_c,o(f)

which is blind deconvolution by homomorphic averages (Stockham, Cannon & Ingebretsen, Proc. IEEE 63, 1975),
and of all Gaussian maps that give the contents the photographs' spectra the one of least transport (Olkin &
Pukelsheim, 1982). The noise is what the flattest windows of each brightness hold.

Fine detail of photographs with more power than a smooth response passes is not the HR picture's: aliases,
what demosaicing and denoising leave, detail out of place. It counts as noise in textured places (`_beyond`).

Scenes of the two sides differ, and K must not contain that difference. Two estimates are shrunk by their
error: the deviation of K from its mean over all directions, and the slope of log |K|^2 at low frequencies.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .camera import (
    APERTURE,
    ROUNDING,
    TAPS,
    Camera,
    crosstalk_kernels,
    detail_response,
    response_kernels,
    zero_phase_kernels,
)
from .flat_noise import RANGES, FlatNoise, FlatWindows, interpolated
from .jackknife import ABOVE_CHANCE, above_chance, jackknife_variance
from .resample import bicubic_downscale
from .spectra import (
    SIZE,
    cross_spectrum,
    of_all_directions,
    opponent_colours,
    power_of,
    radial_frequency,
    variance_of_power,
    windows_of_picture,
)

_ROUNDS = 3
"""Noise and response each need the other."""
_UNIT_BELOW = 0.04
"""Cycles per pixel under which the response is 1: colours and contrast are those of the HR picture."""
_SCENES_BELOW = 0.12
"""Cycles per pixel under which photographs and contents tell how their scenes differ in contrast."""
_BLURRED = 0.5
"""The share of the HR picture's contrast below which K is taken to go on as it fell so far."""
_FEWEST_RINGS = 4
"""Rings of frequency above that share, for the fall of K to be known."""
_TRUSTED = 1.25
"""The factor by which the power of K may exceed that fall."""
_BEYOND = 0.25
"""The share of the power at a frequency from which on what exceeds it tells noise in textured places."""
_MOST_COHERENCE = 0.9
"""Of colours with brightness: a colour keeps some detail of its own."""
_CONTRAST_APART = math.sqrt(2)
"""The ratio of contrasts from which on the two sides' scenes differ too much."""
_PARTS = 16
"""Parts of a side's photographs for the jackknife."""


@dataclass(frozen=True)
class Measured:
    """What a measurement came to.

    Attributes:
        camera: the camera.
        noise: deviation of the noise of a grey value at each range of brightness, with that brightness:
            pairs of grey levels.
        doubts: why the measurement may be off, a line each; empty where nothing speaks against it.
        contents: mean power spectrum of the contents' windows, (32, 17, 3).
    """

    camera: Camera
    noise: list[tuple[float, float]]
    doubts: list[str]
    contents: Tensor


class CameraMeasurement:
    """Takes in photographs one by one, in memory that does not grow, and says what camera they are of.

    Args:
        photographs: how many LR photographs are to come, about.
        contents: how many HR photographs. No photograph gives more than its share of the flat windows.
    """

    def __init__(self, photographs: int, contents: int) -> None:
        self._lr, self._content = _Average(), _Average()
        self._flat_lr, self._flat_content = FlatWindows(photographs), FlatWindows(contents)

    def add_lr(self, picture: Tensor, photograph: int | None = None) -> None:
        """A real LR photograph, or a part of one: (3, H, W) grey levels, sides of at least 32.

        Args:
            photograph: the number of the photograph that this is a part of; one of its own by default.
        """
        self._lr.add(windows_of_picture(picture, SIZE), photograph)
        self._flat_lr.add(picture)

    def add_content(self, picture: Tensor, photograph: int | None = None) -> None:
        """An HR photograph at LR size, or a part of one: as `add_lr` takes it."""
        self._content.add(windows_of_picture(picture, SIZE), photograph)
        self._flat_content.add(picture)

    def another(self, photographs: int) -> "CameraMeasurement":
        """A measurement of other LR photographs, so many, with the same contents."""
        other = CameraMeasurement(photographs, 0)
        other._content, other._flat_content = self._content, self._flat_content
        return other

    def result(self) -> Measured:
        """The camera.

        Raises:
            ValueError: nothing was taken in on one of the sides.
        """
        for name, average in (("lr", self._lr), ("content", self._content)):
            if average.empty:
                raise ValueError(f"{name}: expected at least one picture of {SIZE} pixels a side, got none")
        flat = FlatNoise(self._flat_lr, self._flat_content)
        spectra = _Spectra.of(self._lr, self._content)
        powers = spectra.powers()
        gain, variance = torch.zeros(SIZE, SIZE // 2 + 1, 3), flat.variance  # all of it is noise
        in_texture = torch.zeros(3)
        for _ in range(_ROUNDS):
            variance, shape = flat.without_texture(gain, variance)
            mean_variance = self._lr.mean_of(flat.levels, variance)
            of_flat = mean_variance * power_of(shape) + ROUNDING
            total, _ = _power_response(powers, of_flat)
            gain, without = _power_response(powers, of_flat + in_texture * power_of(shape))
            most = _most_blurred(gain, without)
            in_texture = _beyond(total, most, powers.content, power_of(shape))
            gain = torch.minimum(gain, most)
        detail = variance_of_power(powers.content * detail_response().square()[..., None])[0]
        own, crosstalk = _crosstalk(spectra, _with_deviations(shape, mean_variance + in_texture), gain)
        camera = Camera(
            response=response_kernels(gain.sqrt() * own),
            crosstalk=crosstalk_kernels(crosstalk),
            # A triangle's transform is nowhere negative: between the measured frequencies the root stays a
            # mean of positive matrices, and can be inverted.
            noise=zero_phase_kernels(
                _root(shape).movedim((-2, -1), (0, 1)), torch.bartlett_window(TAPS, periodic=False)
            ),
            strength=flat.strength(variance),
            aperture=torch.tensor(APERTURE),
            texture=(in_texture / detail.clamp(min=1e-9)).sqrt(),
        )
        noise = list(zip(flat.levels.tolist(), (variance.sum(1) / 3).sqrt().tolist()))
        doubts = _doubts(spectra.lr, spectra.content, shape, len(flat.levels))
        return Measured(camera, noise, doubts, powers.content)


class _Average:
    """The mean cross-spectrum of windows, (32, 17, 3, 3), and how bright they are.

    A picture counts by its contrast to the power of -3/4: a few of strong contrast would be the whole mean,
    and sets of photographs differ in them.
    """

    def __init__(self) -> None:
        self._sums = torch.zeros(_PARTS, SIZE, SIZE // 2 + 1, 3, 3, dtype=torch.float64)
        self._weights = torch.zeros(_PARTS, dtype=torch.float64)
        self._brightness, self._pictures = torch.zeros(256), 0

    def add(self, cut: Tensor, photograph: int | None) -> None:
        """The windows (n, 3, 32, 32) of a picture, in grey levels."""
        total = torch.zeros_like(self._sums[0])
        for part in cut.split(512):
            total += cross_spectrum(opponent_colours(part)).sum(0)
        frequency = radial_frequency(SIZE)
        seen = (frequency >= _UNIT_BELOW) & (frequency < _SCENES_BELOW)
        weight = float(total[seen][:, 0, 0].mean() / len(cut) + 1) ** -0.75
        place = (self._pictures if photograph is None else photograph) % _PARTS
        self._sums[place] += weight * total
        self._weights[place] += weight * len(cut)
        self._brightness += weight * torch.histc(cut.mean((1, 2, 3)), 256, 0, 256)
        self._pictures += 1

    @property
    def empty(self) -> bool:
        """Whether there was no window."""
        return not self._pictures

    def spectrum(self) -> Tensor:
        """The mean, fp32."""
        return (self._sums.sum(0) / self._weights.sum()).float()

    def without(self) -> Tensor:
        """The means without one part of the photographs each: (n, 32, 17, 3, 3); n is 0 for a single part."""
        used = self._weights > 0
        sums, weights = self._sums[used], self._weights[used]
        if len(sums) == 1:
            return sums[:0].float()
        return ((sums.sum(0) - sums) / (weights.sum() - weights)[:, None, None, None, None]).float()

    def mean_of(self, levels: Tensor, values: Tensor) -> Tensor:
        """The mean over all windows of values (R, 3) that belong to brightnesses (R,): (3,)."""
        everywhere = interpolated(levels, values, torch.arange(256) + 0.5)  # (3, 256)
        return (everywhere * self._brightness).sum(1) / self._brightness.sum()


@dataclass(frozen=True)
class _Spectra:
    """Mean cross-spectra (32, 17, 3, 3) of both sides, and those without one part of a side each (n, ...)."""

    lr: Tensor
    content: Tensor
    lr_without: Tensor
    content_without: Tensor

    @classmethod
    def of(cls, lr: _Average, content: _Average) -> "_Spectra":
        return cls(lr.spectrum(), content.spectrum(), lr.without(), content.without())

    def powers(self) -> "_Spectra":
        """The powers of each, (..., 32, 17, 3), in place of the cross-spectra."""
        return _Spectra(*(power_of(spectra) for spectra in vars(self).values()))


def _power_response(powers: _Spectra, noise: Tensor) -> tuple[Tensor, list[Tensor]]:
    """|K|^2 of each colour, (32, 17, 3), for photographs with noise of these powers (32, 17, 3).

    Also K without parts of the photographs, (n, 32, 17, 3) of each side.
    """

    def ratio(photographs: Tensor, contents: Tensor) -> Tensor:
        return (photographs - noise) / contents.clamp(min=1e-9)

    found = ratio(powers.lr, powers.content)
    without = [ratio(powers.lr_without, powers.content), ratio(powers.lr, powers.content_without)]
    contrast = _contrast(found, without)
    gain = (found / contrast).clamp(min=0).sqrt()
    own = gain - of_all_directions(gain)
    gains = [(part / contrast).clamp(min=0).sqrt() for part in without]
    chance = jackknife_variance([part - of_all_directions(part) for part in gains])
    taken = above_chance(of_all_directions(own.square()), of_all_directions(chance))
    gain = gain - own + taken * own
    return torch.where(radial_frequency(SIZE)[..., None] < _UNIT_BELOW, 1.0, gain.square()), gains


def _contrast(ratio: Tensor, without: list[Tensor]) -> Tensor:
    """How many times more power the photographs' scenes have than the contents', of each colour: (3,).

    The response is 1 at the lowest frequencies and falls like a Gaussian there, so ``log ratio`` is a line in
    f^2 whose value at 0 is the scenes' own.

    Args:
        ratio: of the powers, (32, 17, 3).
        without: the same without parts of the photographs, (n, 32, 17, 3) of each side.
    """
    frequency = radial_frequency(SIZE)
    low = (frequency > 0) & (frequency < _SCENES_BELOW)
    place = (frequency[low] ** 2).double()[:, None]
    centred = place - place.mean()

    def logarithm(ratio: Tensor) -> Tensor:
        return ratio[..., low, :].clamp(min=1e-6).double().log()

    def slope(ratio: Tensor) -> Tensor:
        # By sums and in float64: a solver's rounding may depend on where its memory lies.
        return (centred * logarithm(ratio)).sum(-2) / centred.square().sum()

    found = slope(ratio)
    found = found * above_chance(found.square(), jackknife_variance([slope(part) for part in without]))
    return (logarithm(ratio).mean(0) - found * place.mean()).to(ratio.dtype).exp()


def _most_blurred(gain: Tensor, without: list[Tensor]) -> Tensor:
    """The most that |K|^2 can be, (32, 17, 3), if K falls on as it fell so far; infinite if that is unknown.

    Args:
        gain: |K|^2, (32, 17, 3).
        without: K without parts of the photographs, (n, 32, 17, 3) of each side.
    """
    rings = of_all_directions(gain.sqrt())
    rings_without = [of_all_directions(part) for part in without]
    most = [
        _most_of_colour(rings[..., colour], [part[..., colour] for part in rings_without])
        for colour in range(3)
    ]
    factor = torch.stack(most, -1) / rings.clamp(min=1e-6)
    # Beyond 0.5 there are only diagonals, and no rings.
    factor = torch.where(radial_frequency(SIZE)[..., None] > 0.5, factor[0, -1], factor)
    return torch.where(factor.isfinite(), factor.clamp(max=1).square() * gain, math.inf)


def _most_of_colour(rings: Tensor, without: list[Tensor]) -> Tensor:
    """The most that K can be of one colour, (32, 17); infinite if that is unknown.

    Blur, pixels and sharpening make log K close to a parabola in f^2. It is fitted to the frequencies of
    which the camera passes more than half of the HR picture, mostly to those close to a half (weights f^8).
    What exceeds it by twice its error and by `_TRUSTED` is beyond.

    Args:
        rings: K, the same in all directions, (32, 17).
        without: the same without parts of the photographs, (n, 32, 17) of each side.
    """
    frequency, passed = radial_frequency(SIZE), of_all_directions(_content_response()[..., None])[..., 0]
    most = torch.full_like(rings, math.inf)
    seen = (frequency >= _UNIT_BELOW) & (frequency <= 0.5)
    blurred = frequency[seen & (rings * passed < _BLURRED)]
    if not len(blurred):
        return most
    seen &= frequency < blurred.min()
    if (frequency[seen] * SIZE).round().unique().numel() < _FEWEST_RINGS:
        return most
    square = frequency.square().double()
    x, y = square[seen], square[seen].square()
    weight = (y / y.max()).square()

    def fall(response: Tensor) -> Tensor:
        # By sums and in float64: a solver's rounding may depend on where its memory lies.
        logarithm = (response * passed).clamp(min=1e-3).log()[..., seen].double()
        of_x, of_y = (weight * x * logarithm).sum(-1), (weight * y * logarithm).sum(-1)
        xx, xy, yy = ((weight * a * b).sum() for a, b in ((x, x), (x, y), (y, y)))
        slope, bend = yy * of_x - xy * of_y, xx * of_y - xy * of_x
        return (slope[..., None, None] * square + bend[..., None, None] * square.square()) / (xx * yy - xy**2)

    error = jackknife_variance([fall(part) for part in without]).sqrt()
    limit = (fall(rings) + ABOVE_CHANCE * error).exp().to(rings.dtype) * math.sqrt(_TRUSTED) / passed
    return torch.where((frequency >= _UNIT_BELOW) & ~seen, limit, most)


def _beyond(total: Tensor, most: Tensor, content: Tensor, shape: Tensor) -> Tensor:
    """Variance (3,) of the most noise of this shape that has nowhere more power than detail beyond K has.

    Args:
        total: |K|^2 if all but the noise of flat places were the picture, (32, 17, 3).
        most: |K|^2 at most.
        content: power spectrum of the contents.
        shape: power spectrum of the noise, of variance 1.
    """
    powers = ((total - most).clamp(min=0) * content, total * content, shape)
    beyond, power, noise = (of_all_directions(part) for part in powers)
    counts = (beyond > _BEYOND * power) & (radial_frequency(SIZE) <= 0.5)[..., None]
    least = torch.where(counts, beyond / noise.clamp(min=1e-9), math.inf).amin((0, 1))
    return torch.where(least.isfinite(), least, 0.0)


@lru_cache(maxsize=1)
def _content_response() -> Tensor:
    """What contents have of the HR picture, antialiased bicubic: (32, 17)."""
    scale, frequency = 8, torch.fft.fftfreq(SIZE)
    place = (torch.arange(scale * SIZE) + 0.5) / scale - (SIZE / 2 + 0.5)
    waves = (2 * math.pi * frequency[:, None] * place).cos()[:, None, None].expand(-1, 1, scale, -1)
    response = bicubic_downscale(waves, scale)[:, 0, 0, SIZE // 2]
    return response[:, None] * response[: SIZE // 2 + 1]


def _with_deviations(shape: Tensor, variance: Tensor) -> Tensor:
    """The cross-spectrum (32, 17, 3, 3) of a shape with variances (3,) of the colours, and of rounding."""
    deviation = variance.sqrt()
    return shape * (deviation[:, None] * deviation) + ROUNDING * torch.eye(3)


def _crosstalk(spectra: _Spectra, noise: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
    """What brightness adds to the colours, for which their coherence is that of the photographs.

    With unit powers and coherence r, ``a colour + b brightness`` has unit power and coherence r' for
    a = sqrt((1 - r'^2) / (1 - r^2)) and b = r' - a r, and is the nearest such mixture to the colour.

    Args:
        spectra: the cross-spectra of both sides.
        noise: the cross-spectrum of the photographs' noise, (32, 17, 3, 3).
        gain: |K|^2 without crosstalk, (32, 17, 3).

    Returns:
        The factors of K, (32, 17, 3), and X, (32, 17, 2).
    """
    contents = _coherence(spectra.content)
    change = _coherence(spectra.lr - noise) - contents
    chance = jackknife_variance([_coherence(spectra.lr_without - noise), _coherence(spectra.content_without)])
    # At low frequencies it is the scenes that differ.
    frequency = radial_frequency(SIZE)[..., None]
    taken = ((frequency - _UNIT_BELOW) / (_SCENES_BELOW - _UNIT_BELOW)).clamp(0, 1)
    wanted = contents + taken * change * above_chance(change.square(), chance)
    own = ((1 - wanted.square()) / (1 - contents.square())).sqrt()
    powers = of_all_directions(power_of(spectra.content)).clamp(min=1e-9)
    amplitude = (gain[..., 1:] * powers[..., 1:] / powers[..., :1]).sqrt()
    return F.pad(own, (1, 0), value=1.0), amplitude * (wanted - own * contents)


def _coherence(spectra: Tensor) -> Tensor:
    """Of brightness with each difference of colours, in rings: (..., 32, 17, 3, 3) -> (..., 32, 17, 2)."""
    rings = of_all_directions(torch.cat([spectra[..., 0, 1:], power_of(spectra)], -1))
    powers = rings[..., 2:].clamp(min=1e-6)
    found = rings[..., :2] / (powers[..., :1] * powers[..., 1:]).sqrt()
    return found.clamp(-_MOST_COHERENCE, _MOST_COHERENCE)


def _root(spectra: Tensor) -> Tensor:
    """The symmetric root of each matrix."""
    values, vectors = torch.linalg.eigh(spectra.double())
    return torch.einsum("...ik,...k,...jk->...ij", vectors, values.clamp(min=0).sqrt(), vectors)


def _doubts(photographs: Tensor, contents: Tensor, shape: Tensor, known: int) -> list[str]:
    """Why the measurement may be off, a line each."""
    doubts = []
    if known < 3:
        doubts.append(
            f"flat places were found at {known} of {RANGES} brightnesses: how noise grows with brightness "
            "is not known (more photographs with sky, walls or shadows help)"
        )
    frequency = radial_frequency(SIZE)
    low = (frequency > 0) & (frequency < 0.05)
    powers = {"LR": float(photographs[low][:, 0, 0].mean()), "HR": float(contents[low][:, 0, 0].mean())}
    plain = [side for side, power in powers.items() if power < ROUNDING]
    ratio = math.sqrt(powers["LR"] / powers["HR"]) if not plain else 1.0
    if plain:
        doubts.append(
            f"the {' and '.join(plain)} photographs show nothing but plain areas, so the response "
            "could not be measured"
        )
    elif not 1 / _CONTRAST_APART <= ratio <= _CONTRAST_APART:
        more = "LR" if ratio > 1 else "HR"
        doubts.append(
            f"the {more} photographs have {max(ratio, 1 / ratio):.1f} times the contrast of the others at "
            "scales where a camera changes nothing: the scenes differ too much for the response to be trusted"
        )
    top = frequency >= 0.4
    middle = (frequency >= 0.1) & (frequency < 0.25)
    if float(power_of(shape)[top][:, 0].mean()) < 0.03 * float(power_of(shape)[middle][:, 0].mean()):
        doubts.append(
            "the noise ends below the highest frequencies: the LR photographs look enlarged (or strongly "
            "denoised), and a smaller scale, from their original size, would fit better"
        )
    return doubts
