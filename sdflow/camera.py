"""The measured camera: what averages of power spectra say of a camera before anything is trained.

The model is stationary and Gaussian in opponent colours o (brightness, R - B, R - 2G + B, orthonormal):

    x_o = K_o * c'_o + X_o * c'_1 + g_o(brightness, detail) (N * e)_o,    e ~ N(0, I)

with c' the content (the HR picture at LR size), K_o a zero-phase response, X_o what detail of brightness adds
to the colours (X_1 = 0), N a root of the noise's 3 x 3 cross-spectrum, and g_o the deviation of the noise at
a brightness and at a strength of the content's fine detail. Nothing is paired: the two sets of photographs
show other scenes, but scenes are alike on average. With S the mean power spectra of photographs and contents,

    |K_o(f)|^2 = (S_x,o(f) - noise(f)) / S_c,o(f)

which is blind deconvolution by homomorphic averages (Stockham, Cannon & Ingebretsen, Proc. IEEE 63, 1975),
and of all Gaussian maps that give the contents the photographs' spectra the one of least transport (Olkin &
Pukelsheim, 1982). The noise is what the flattest windows of each brightness hold.

Fine detail of photographs with more power than a smooth response passes is not the HR picture's: aliases,
what demosaicing and denoising leave, detail out of place. It counts as noise in textured places (`_beyond`).

c' is the content c after one step that all cameras share: a pixel adds up light, and sRGB values are not
linear in light. The mean of light over a pixel is brighter than the mean of the values (`integrated`).

Scenes of the two sides differ, and K must not contain that difference. Two estimates are shrunk by their
error (James & Stein, Proc. 4th Berkeley Symp. 1, 1961): the deviation of K from its mean over all directions,
and the slope of log |K|^2 at low frequencies. The jackknife over photographs gives the error (Efron & Stein,
Ann. Statist. 9, 1981).
"""

import math
from dataclasses import dataclass, field, fields
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .filters import gaussian_blur
from .resample import bicubic_downscale
from .spectra import opponent_colours, radial_frequency, under_hann, windows

SIZE = 32
"""Side of the windows, and the period of the measured spectra."""
TAPS = SIZE + 1
"""Side of the kernels."""
FLAT_SIZE = 16
"""Side of the flat windows. Larger ones are seldom flat, and smaller ones miss coarse noise of colours."""
KNOTS = 17
"""Brightnesses at which the strength of the noise is kept, evenly from 0 to 255."""

_RANGES = 8
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
_ROUNDS = 3
"""Noise and response each need the other."""
_SMOOTH = 0.5
"""Grey levels of roughness below which all windows are alike."""
_BLACK, _CLIPPED = 1.0, 0.01
"""The share of samples within a level of 0 or 255 from which on a window is clipped, and its noise gone."""
_UNIT_BELOW = 0.04
"""Cycles per pixel under which the response is 1: colours and contrast are those of the HR picture."""
_SCENES_BELOW = 0.12
"""Cycles per pixel under which photographs and contents tell how their scenes differ in contrast."""
_NOISE_FROM = 0.15
"""Cycles per pixel under which what flat windows hold of brightness is mostly the picture, not noise."""
_PLATEAU = (0.15, 0.22)
"""Where the noise of brightness is read that is taken to go on below."""
_BLURRED = 0.5
"""The share of the HR picture's contrast below which K is taken to go on as it fell so far."""
_FEWEST_RINGS = 4
"""Rings of frequency above that share, for the fall of K to be known."""
_TRUSTED = 1.25
"""The factor by which the power of K may exceed that fall."""
_BEYOND = 0.25
"""The share of the power at a frequency from which on what exceeds it tells noise in textured places."""
_DETAIL_BLUR, _DETAIL_REACH = 0.7, 2.0
"""Standard deviations in pixels: of the blur whose loss is fine detail, and of the place it belongs to."""
_MOST_COHERENCE = 0.9
"""Of colours with brightness: a colour keeps some detail of its own."""
_LEAST_VARIANCE = 1e-3
"""Of noise: a codec may leave none."""
_CONTRAST_APART = math.sqrt(2)
"""The ratio of contrasts from which on the two sides' scenes differ too much."""
_PARTS = 16
"""Parts of a side's photographs for the jackknife."""
_ABOVE_CHANCE = 2.0
"""An estimate whose square is below so many times its variance is shrunk to 0."""
APERTURE = 1 / 24
"""The share of a pixel's light from each neighbour along an axis: as spread out as a pixel's own square."""
ROUNDING = 1 / 12
"""Variance that rounding to 8 bits adds; a sample is rounded again."""


@dataclass(frozen=True)
class Camera:
    """A measured camera, on the CPU in fp32. Spectra are of opponent colours.

    Attributes:
        response: K, (3, 33, 33), kernels in LR pixels; each has the sum 1.
        noise: N, (3, 3, 33, 33), kernels that colour white noise; ``noise[a, b]`` is what colour b's white
            noise adds to colour a. Symmetric under flips, so that mirrored borders keep it exact.
        strength: g, (3, 17), deviation of the noise of each colour in grey levels (0 to 255), at the
            brightnesses ``linspace(0, 255, 17)``.
        aperture: (), the share of a pixel's light that is from each of its neighbours along an axis; 0 for a
            camera whose response applies to sRGB values alone.
        crosstalk: X, (2, 33, 33), kernels of sum 0: what detail of the content's brightness adds to R - B and
            to R - 2G + B, as demosaicing and lenses do.
        texture: (3,), deviation of each colour's noise in textured places, as a share of the root of
            `fine_detail` there. Its variance adds to that of ``strength``.
    """

    response: Tensor
    noise: Tensor
    strength: Tensor
    aperture: Tensor = field(default_factory=lambda: torch.zeros(()))
    crosstalk: Tensor = field(default_factory=lambda: torch.zeros(2, TAPS, TAPS))
    texture: Tensor = field(default_factory=lambda: torch.zeros(3))

    def __post_init__(self) -> None:
        shapes = {
            "response": (3, TAPS, TAPS),
            "noise": (3, 3, TAPS, TAPS),
            "strength": (3, KNOTS),
            "aperture": (),
            "crosstalk": (2, TAPS, TAPS),
            "texture": (3,),
        }
        for name in (one.name for one in fields(self)):
            found = tuple(getattr(self, name).shape)
            if found != shapes[name]:
                raise ValueError(f"{name}: expected the shape {shapes[name]}, got {found}")

    @classmethod
    def identity(cls) -> "Camera":
        """A camera that changes nothing but for white noise of one grey level."""
        response = torch.zeros(3, TAPS, TAPS)
        response[:, TAPS // 2, TAPS // 2] = 1
        return cls(response, diagonal(response), torch.ones(3, KNOTS))


def integrated(images: Tensor, aperture: Tensor) -> Tensor:
    """Images after their pixels have averaged light instead of sRGB values: brighter at edges and in texture.

    ``c + s(A * l(c)) - A * c``, with l from sRGB values to light (IEC 61966-2-1), s its inverse and A the
    aperture. The blur of the values by A is part of the camera's response, which is measured with it.

    Args:
        images: (B, C, H, W) in [-1, 1]; borders are mirrored.
        aperture: the share of a pixel's light from each neighbour along an axis, () or (B,).
    """
    if not bool((aperture > 0).any()):
        return images
    values, share = (images + 1) / 2, aperture.view(-1, 1, 1, 1)
    light = torch.where(values <= 0.04045, values / 12.92, ((values.clamp(min=0.04) + 0.055) / 1.055) ** 2.4)
    light = _over_neighbours(light, share)
    seen = torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp(min=0.003) ** (1 / 2.4) - 0.055)
    return images + 2 * (seen - _over_neighbours(values, share))


def _over_neighbours(images: Tensor, share: Tensor) -> Tensor:
    padded = F.pad(images, (1,) * 4, mode="replicate")
    rows = (1 - 2 * share) * padded[..., 1:-1, :] + share * (padded[..., :-2, :] + padded[..., 2:, :])
    return (1 - 2 * share) * rows[..., 1:-1] + share * (rows[..., :-2] + rows[..., 2:])


def fine_detail(brightness: Tensor) -> Tensor:
    """Local power of fine detail, (B, 1, H, W) -> the same, in the square of its units."""
    margin = math.ceil(2 * _DETAIL_BLUR) + math.ceil(2 * _DETAIL_REACH)
    padded = F.pad(brightness, (margin,) * 4, mode="replicate")  # pictures may be smaller than the blurs
    power = gaussian_blur((padded - gaussian_blur(padded, _DETAIL_BLUR)).square(), _DETAIL_REACH)
    return power[..., margin:-margin, margin:-margin]


def strength_at(strength: Tensor, brightness: Tensor) -> Tensor:
    """g at each pixel: (3, 17) or (B, 3, 17) and brightness (B, 1, H, W) in levels -> (B, 3, H, W)."""
    place = (brightness[:, 0] * ((KNOTS - 1) / 255)).clamp(0, KNOTS - 1)
    below = place.detach().nan_to_num(0.0).floor().clamp(max=KNOTS - 2).long()  # NaN stays in ``share``
    share = place - below
    knots = strength.expand(len(place), -1, -1)
    index = below.flatten(1)[:, None].expand(-1, knots.shape[1], -1)
    low, high = (knots.gather(2, at).unflatten(2, below.shape[1:]) for at in (index, index + 1))
    return torch.lerp(low, high, share[:, None])


def transfer(kernels: Tensor, height: int, width: int) -> Tensor:
    """The real response of zero-phase kernels (..., n, n) on a torus: (..., height, width // 2 + 1).

    Kernels larger than the torus are wrapped around it.
    """
    size, radius = kernels.shape[-1], kernels.shape[-1] // 2
    rows = (torch.arange(size, device=kernels.device) - radius) % height
    columns = (torch.arange(size, device=kernels.device) - radius) % width
    torus = kernels.new_zeros(*kernels.shape[:-2], height, width)
    flat = torus.flatten(-2).index_add(-1, (rows[:, None] * width + columns).flatten(), kernels.flatten(-2))
    return torch.fft.rfft2(flat.unflatten(-1, (height, width))).real


def along_rows(kernel: Tensor, frequency: Tensor) -> Tensor:
    """The response (m,) of a zero-phase kernel (n, n) to waves along the rows, float64.

    Args:
        kernel: on the CPU.
        frequency: (m,), cycles per pixel.
    """
    line = kernel.sum(0).double()
    taps = torch.arange(len(line)) - len(line) // 2
    return (2 * math.pi * frequency.double()[:, None] * taps).cos() @ line


def filtered(images: Tensor, kernels: Tensor, inverse: bool = False) -> Tensor:
    """Images under matrices of kernels, with mirrored borders.

    Args:
        images: (B, C, H, W).
        kernels: (C, C, n, n), or (B, C, C, n, n) for those of each image; zero-phase.
        inverse: divide by the response. It undoes the filter exactly if the kernels are symmetric under
            flips of either axis.
    """
    height, width = images.shape[-2:]
    mirrored = torch.cat([images, images.flip(-1)], -1)
    mirrored = torch.cat([mirrored, mirrored.flip(-2)], -2)
    response = transfer(kernels, 2 * height, 2 * width).movedim((-4, -3), (-2, -1))  # (..., 2H, W + 1, C, C)
    if inverse:
        response = torch.linalg.inv(response)
    spectrum = torch.fft.rfft2(mirrored)
    batch = "b" if kernels.ndim == 5 else ""
    mixed = torch.einsum(f"{batch}yxij,bjyx->biyx", response.to(spectrum.dtype), spectrum)
    return torch.fft.irfft2(mixed, s=mirrored.shape[-2:])[..., :height, :width]


def filter_log_det(kernels: Tensor, height: int, width: int) -> Tensor:
    """log |det| of ``filtered`` as a map of H x W pictures, (...) of kernels (..., C, C, n, n) that are
    symmetric under flips.

    Pictures with mirrored borders are sums of cosines (the discrete cosine transform, type II), and a
    symmetric filter scales each of them by its response at that frequency.
    """
    response = transfer(kernels, 2 * height, 2 * width)[..., :height, :width]
    matrices = response.movedim((-4, -3), (-2, -1)).double()
    return torch.linalg.slogdet(matrices).logabsdet.sum((-2, -1)).to(kernels.dtype)


def response_matrix(response: Tensor, crosstalk: Tensor) -> Tensor:
    """K and X as one matrix of kernels: (..., 3, n, n) and (..., 2, n, n) -> (..., 3, 3, n, n)."""
    matrix = diagonal(response).clone()
    matrix[..., 1:, 0, :, :] = crosstalk
    return matrix


def diagonal(kernels: Tensor) -> Tensor:
    """A kernel a channel, as a matrix of kernels: (..., C, n, n) -> (..., C, C, n, n)."""
    return torch.diag_embed(kernels.movedim(-3, -1)).movedim((-2, -1), (-4, -3))


def power_spectrum(colours: Tensor) -> Tensor:
    """Mean power of the windows of pictures (B, 3, H, W) in opponent colours: (32, 17, 3)."""
    return _powers(_cross_spectrum(windows(colours, SIZE).flatten(0, 1))).mean(0)


def crosstalk_kernels(crosstalk: Tensor) -> Tensor:
    """The kernels of a crosstalk (32, 17, 2), each of sum 0: (2, 33, 33)."""
    kernels = _kernels(crosstalk.movedim(-1, 0), torch.hann_window(TAPS, periodic=False))
    kernels[:, TAPS // 2, TAPS // 2] -= kernels.sum((-2, -1))
    return kernels


def response_kernels(response: Tensor) -> Tensor:
    """The kernels of a response (32, 17, 3), each of sum 1: (3, 33, 33)."""
    kernels = _kernels(response.movedim(-1, 0), torch.hann_window(TAPS, periodic=False))
    return kernels / kernels.sum((-2, -1), keepdim=True)


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
        self._flat_lr, self._flat_content = _FlatWindows(photographs), _FlatWindows(contents)

    def add_lr(self, picture: Tensor, photograph: int | None = None) -> None:
        """A real LR photograph, or a part of one: (3, H, W) grey levels, sides of at least 32.

        Args:
            photograph: the number of the photograph that this is a part of; one of its own by default.
        """
        self._lr.add(_windows(picture, SIZE), photograph)
        self._flat_lr.add(picture)

    def add_content(self, picture: Tensor, photograph: int | None = None) -> None:
        """An HR photograph at LR size, or a part of one: as `add_lr` takes it."""
        self._content.add(_windows(picture, SIZE), photograph)
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
        flat = self._flat_lr.chosen() or self._flat_lr.all()
        levels = torch.stack([part.windows.mean() for part in flat])
        found = torch.stack([part.spectrum() for part in flat])
        contents_flat = self._flat_content.chosen() or self._flat_content.all()
        gain = torch.zeros(SIZE, SIZE // 2 + 1, 3)  # all of it is noise
        variance = _variance(found)
        spectra = _Spectra.of(self._lr, self._content)
        powers = spectra.powers()
        in_texture = torch.zeros(3)
        for _ in range(_ROUNDS):
            texture = gain * _texture(flat, contents_flat, variance)
            variance, shape = _noise(found, texture)
            in_doubt = _variance_of(texture) / _variance(found).clamp(min=_LEAST_VARIANCE)
            variance = _smoothed(levels, variance, in_doubt)
            mean_variance = self._lr.mean_of(levels, variance)
            of_flat = mean_variance * _powers(shape) + ROUNDING
            total, _ = _power_response(powers, of_flat)
            gain, without = _power_response(powers, of_flat + in_texture * _powers(shape))
            most = _most_blurred(gain, without)
            in_texture = _beyond(total, most, powers.content, _powers(shape))
            gain = torch.minimum(gain, most)
        detail = _variance_of(powers.content * _detail_response().square()[..., None])[0]
        own, crosstalk = _crosstalk(spectra, _with_deviations(shape, mean_variance + in_texture), gain)
        camera = Camera(
            response=response_kernels(gain.sqrt() * own),
            crosstalk=crosstalk_kernels(crosstalk),
            # A triangle's transform is nowhere negative: between the measured frequencies the root stays a
            # mean of positive matrices, and can be inverted.
            noise=_kernels(
                _root(shape).movedim((-2, -1), (0, 1)), torch.bartlett_window(TAPS, periodic=False)
            ),
            strength=_interpolated(*_with_ends(levels, variance)).sqrt(),
            aperture=torch.tensor(APERTURE),
            texture=(in_texture / detail.clamp(min=1e-9)).sqrt(),
        )
        noise = list(zip(levels.tolist(), (variance.sum(1) / 3).sqrt().tolist()))
        doubts = _doubts(spectra.lr, spectra.content, shape, len(levels))
        return Measured(camera, noise, doubts, powers.content)


def _noise(found: Tensor, texture: Tensor) -> tuple[Tensor, Tensor]:
    """Variance (R, 3) of the noise in each of R ranges of brightness, and the shape of its spectrum.

    Args:
        found: mean cross-spectra of the photographs' flat windows, (R, 32, 17, 3, 3).
        texture: power spectra of what is the picture in them, (R, 32, 17, 3).
    """
    spectrum = found - ROUNDING * torch.eye(3)
    left = (1 - texture / _powers(spectrum).clamp(min=1e-9)).clamp(min=_LEAST_NOISE).sqrt()
    spectrum = spectrum * left[..., :, None] * left[..., None, :]
    variance = _variance(_continued(_positive(spectrum))).clamp(min=_LEAST_VARIANCE)
    deviation = variance.sqrt()
    unit = spectrum / (deviation[:, None] * deviation[:, :, None])[:, None, None]
    shape = _continued(_positive(_flip_symmetric(unit.mean(0))))
    deviation = _variance(shape).sqrt()
    return variance, shape / (deviation[:, None] * deviation)


def _texture(flat: list["_Flat"], contents: list["_Flat"], variance: Tensor) -> Tensor:
    """Power spectra of contents that are as rough as the photographs' flat windows: (R, 32, 17, 3)."""
    roughness = torch.cat([part.roughness for part in contents])
    spectra = _powers(_cross_spectrum(opponent_colours(torch.cat([part.windows for part in contents]))))
    found = []
    for part, of_range in zip(flat, variance):
        of_noise = of_range.mean() * _NOISE_IN_ROUGHNESS
        wanted = (part.roughness.square() - of_noise).clamp(min=0).sqrt()
        off = (roughness - wanted[:, None]).abs()
        nearest = off.topk(min(_LEAST_FLAT, len(roughness)), largest=False).indices
        found.append(spectra[nearest.flatten()].mean(0))
    return torch.stack(found)


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
        slope = slope * _above_chance(slope.square(), error)
        continued = variance[last] + slope * (end - levels[last])
        ends.append(torch.maximum(continued, _LEAST_AT_END * variance[last])[None])
    black, white = torch.tensor([0.0]), torch.tensor([255.0])
    return torch.cat([black, levels, white]), torch.cat([ends[0], variance, ends[1]])


@dataclass(frozen=True)
class _Flat:
    """Flat windows (n, 3, 16, 16) of one range of brightness and their roughness (n,)."""

    windows: Tensor
    roughness: Tensor

    def spectrum(self) -> Tensor:
        """Their mean cross-spectrum, (32, 17, 3, 3)."""
        return _cross_spectrum(opponent_colours(self.windows)).mean(0)


class _FlatWindows:
    """The flattest windows of each range of brightness.

    Args:
        photographs: how many are to come, about.
    """

    def __init__(self, photographs: int) -> None:
        self._share = max(4, 2 * _FLAT // max(1, photographs))
        self._roughness = torch.full((_RANGES, _FLAT), math.inf)
        self._windows = torch.zeros(_RANGES, _FLAT, 3, FLAT_SIZE, FLAT_SIZE)

    def add(self, picture: Tensor) -> None:
        """A picture (3, H, W) in grey levels."""
        cut = _windows(picture, FLAT_SIZE)
        low = gaussian_blur(picture[None].float(), 2.0)
        roughness = _windows(low[0], FLAT_SIZE).flatten(2).var(2).mean(1).sqrt()
        clipped = ((cut <= _BLACK) | (cut >= 255 - _BLACK)).float().mean((1, 2, 3)) > _CLIPPED
        roughness = roughness + _LAST * clipped  # its noise is cut off: for want of others alone
        place = (cut.mean((1, 2, 3)) * (_RANGES / 256)).long().clamp(0, _RANGES - 1)
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
            fine = _variance_of(_powers(_cross_spectrum(opponent_colours(windows))), _NOISE_FROM).sum(1)
            lowest = fine.topk(max(_LEAST_FLAT // 2, len(fine) // 4), largest=False).values.mean()
            use = fine <= _DETAILED * lowest
            chosen.append(_Flat(windows[use], roughness[use]))
        return chosen

    def all(self) -> list[_Flat]:
        """Whatever there is, as one range: for few and small photographs."""
        use = self._roughness.isfinite()
        return [_Flat(self._windows[use], self._roughness[use])]


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
            total += _cross_spectrum(opponent_colours(part)).sum(0)
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
        everywhere = _interpolated(levels, values, torch.arange(256) + 0.5)  # (3, 256)
        return (everywhere * self._brightness).sum(1) / self._brightness.sum()


def _windows(picture: Tensor, size: int) -> Tensor:
    return windows(picture[None].float(), size)[0]


def _doubts(photographs: Tensor, contents: Tensor, shape: Tensor, known: int) -> list[str]:
    """Why the measurement may be off, a line each."""
    doubts = []
    if known < 3:
        doubts.append(
            f"flat places were found at {known} of {_RANGES} brightnesses: how noise grows with brightness "
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
    if float(_powers(shape)[top][:, 0].mean()) < 0.03 * float(_powers(shape)[middle][:, 0].mean()):
        doubts.append(
            "the noise ends below the highest frequencies: the LR photographs look enlarged (or strongly "
            "denoised), and a smaller scale, from their original size, would fit better"
        )
    return doubts


def _cross_spectrum(patches: Tensor) -> Tensor:
    """The real part of the cross-spectra of patches (n, 3, p, p), p at most 32: (n, 32, 17, 3, 3).

    The imaginary part is what one colour lags behind another; a zero-phase camera has none. Smaller patches
    are continued with zeros, which smooths their spectrum.
    """
    values = torch.fft.rfft2(under_hann(patches), s=(SIZE, SIZE)).movedim(1, -1)
    real, imaginary = values.real, values.imag
    return real[..., :, None] * real[..., None, :] + imaginary[..., :, None] * imaginary[..., None, :]


def _powers(spectra: Tensor) -> Tensor:
    return spectra.diagonal(dim1=-2, dim2=-1)


def _variance(spectra: Tensor) -> Tensor:
    """Of each colour, from cross-spectra: (..., 32, 17, 3, 3) -> (..., 3)."""
    return _variance_of(_powers(spectra))


def _variance_of(powers: Tensor, above: float = 0.0) -> Tensor:
    """Of each colour, from its power at frequencies from ``above`` on: (..., 32, 17, 3) -> (..., 3)."""
    of_plane = torch.full((1, SIZE // 2 + 1, 1), 2.0)  # each stands for itself and its conjugate
    of_plane[:, [0, -1]] = 1
    told = radial_frequency(SIZE)[..., None] >= above
    return (powers * of_plane * told).sum((-3, -2)) / SIZE**2


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
        return _Spectra(*(_powers(spectra) for spectra in vars(self).values()))


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
    own = gain - _of_all_directions(gain)
    gains = [(part / contrast).clamp(min=0).sqrt() for part in without]
    chance = _chance([part - _of_all_directions(part) for part in gains])
    taken = _above_chance(_of_all_directions(own.square()), _of_all_directions(chance))
    gain = gain - own + taken * own
    return torch.where(radial_frequency(SIZE)[..., None] < _UNIT_BELOW, 1.0, gain.square()), gains


def _most_blurred(gain: Tensor, without: list[Tensor]) -> Tensor:
    """The most that |K|^2 can be, (32, 17, 3), if K falls on as it fell so far; infinite if that is unknown.

    Args:
        gain: |K|^2, (32, 17, 3).
        without: K without parts of the photographs, (n, 32, 17, 3) of each side.
    """
    rings = _of_all_directions(gain.sqrt())
    rings_without = [_of_all_directions(part) for part in without]
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
    frequency, passed = radial_frequency(SIZE), _of_all_directions(_content_response()[..., None])[..., 0]
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

    error = _chance([fall(part) for part in without]).sqrt()
    limit = (fall(rings) + _ABOVE_CHANCE * error).exp().to(rings.dtype) * math.sqrt(_TRUSTED) / passed
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
    beyond, power, noise = (_of_all_directions(part) for part in powers)
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


def _detail_response() -> Tensor:
    """The response of the detail in `fine_detail`: (32, 17)."""
    impulse = F.pad(torch.ones(1, 1, 1, 1), (SIZE // 2,) * 4)
    return transfer((impulse - gaussian_blur(impulse, _DETAIL_BLUR))[0, 0], SIZE, SIZE)


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
    chance = _chance([_coherence(spectra.lr_without - noise), _coherence(spectra.content_without)])
    # At low frequencies it is the scenes that differ.
    frequency = radial_frequency(SIZE)[..., None]
    taken = ((frequency - _UNIT_BELOW) / (_SCENES_BELOW - _UNIT_BELOW)).clamp(0, 1)
    wanted = contents + taken * change * _above_chance(change.square(), chance)
    own = ((1 - wanted.square()) / (1 - contents.square())).sqrt()
    powers = _of_all_directions(_powers(spectra.content)).clamp(min=1e-9)
    amplitude = (gain[..., 1:] * powers[..., 1:] / powers[..., :1]).sqrt()
    return F.pad(own, (1, 0), value=1.0), amplitude * (wanted - own * contents)


def _coherence(spectra: Tensor) -> Tensor:
    """Of brightness with each difference of colours, in rings: (..., 32, 17, 3, 3) -> (..., 32, 17, 2)."""
    rings = _of_all_directions(torch.cat([spectra[..., 0, 1:], _powers(spectra)], -1))
    powers = rings[..., 2:].clamp(min=1e-6)
    found = rings[..., :2] / (powers[..., :1] * powers[..., 1:]).sqrt()
    return found.clamp(-_MOST_COHERENCE, _MOST_COHERENCE)


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
    found = found * _above_chance(found.square(), _chance([slope(part) for part in without]))
    return (logarithm(ratio).mean(0) - found * place.mean()).to(ratio.dtype).exp()


def _above_chance(square: Tensor, variance: Tensor) -> Tensor:
    """The factor (0 to 1) that shrinks an estimate, from its square and its variance."""
    return (1 - _ABOVE_CHANCE * variance / square.clamp(min=1e-12)).clamp(min=0)


def _chance(without: list[Tensor]) -> Tensor:
    """The jackknife's variance of an estimate, summed over the two sides.

    Args:
        without: the estimates without one part of a side's photographs, (n, ...) for each side. A side of a
            single part has none, and adds nothing.
    """
    sides = [
        (part - part.mean(0)).square().sum(0) * (len(part) - 1) / len(part) for part in without if len(part)
    ]
    return torch.stack(sides).sum(0) if sides else without[0].sum(0)


def _of_all_directions(values: Tensor) -> Tensor:
    """The mean over the ring of each frequency, there: (..., 32, 17, C) -> the same shape."""
    ring = (radial_frequency(SIZE) * SIZE).round().long().flatten()
    flat = values.flatten(-3, -2)
    sums = values.new_zeros(*flat.shape[:-2], int(ring.max()) + 1, flat.shape[-1]).index_add(-2, ring, flat)
    return (sums / ring.bincount()[:, None])[..., ring, :].reshape(values.shape)


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


def _root(spectra: Tensor) -> Tensor:
    """The symmetric root of each matrix."""
    values, vectors = torch.linalg.eigh(spectra.double())
    return torch.einsum("...ik,...k,...jk->...ij", vectors, values.clamp(min=0).sqrt(), vectors)


def _kernels(responses: Tensor, fade: Tensor) -> Tensor:
    """Zero-phase kernels of real responses (..., 32, 17), faded out towards their ends: (..., 33, 33)."""
    torus = torch.fft.irfft2(responses.to(torch.complex128), s=(SIZE, SIZE))  # its rounding is below fp32's
    torus = torch.fft.fftshift(torus, dim=(-2, -1))
    wrapped = torch.cat([torus, torus[..., :1]], -1)
    wrapped = torch.cat([wrapped, wrapped[..., :1, :]], -2)
    return (wrapped * torch.outer(fade, fade)).float()


def _interpolated(levels: Tensor, values: Tensor, knots: Tensor | None = None) -> Tensor:
    """Values (R, 3) at rising levels (R,) -> at the knots (3, n); constant beyond the first and the last."""
    knots = torch.linspace(0, 255, KNOTS) if knots is None else knots
    if len(levels) == 1:
        return values.T.expand(3, len(knots)).clone()
    above = torch.searchsorted(levels, knots).clamp(1, len(levels) - 1)
    low, high = levels[above - 1], levels[above]
    share = ((knots - low) / (high - low)).clamp(0, 1)
    return torch.lerp(values[above - 1], values[above], share[:, None]).T.contiguous()
