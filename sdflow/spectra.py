"""What pictures are like on average: colours, windows, spectra, and losses that compare them."""

from functools import lru_cache

import torch
from torch import Tensor, nn


@lru_cache(maxsize=32)
def _opponents() -> Tensor:
    rows = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
    return rows / rows.norm(dim=1, keepdim=True)


def opponent_colours(images: Tensor) -> Tensor:
    """Brightness, R - B and R - 2G + B, an orthonormal basis: (B, 3, H, W) -> the same."""
    with torch.autocast(images.device.type, enabled=False):
        return torch.einsum("oc,bchw->bohw", _opponents().to(images), images)


def windows(images: Tensor, size: int) -> Tensor:
    """Windows that overlap by half, (B, C, H, W) -> (B, N, C, size, size)."""
    cut = images.unfold(2, size, size // 2).unfold(3, size, size // 2)  # (B, C, ny, nx, size, size)
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)


def cross_spectrum(patches: Tensor) -> Tensor:
    """Products of each two channels' Fourier coefficients, of square patches under a Hann window.

    The diagonal is power; what stands beside it says how channels go together (real part) and how one lags
    behind another (imaginary part). Means over many patches are the covariances of a stationary process.

    Args:
        patches: (..., C, n, n); their mean is removed.

    Returns:
        Real and imaginary part, (..., n, n // 2 + 1, C, C, 2).
    """
    values = torch.fft.rfft2(_under_hann(patches)).movedim(-3, -1)
    return torch.view_as_real(values.unsqueeze(-1) * values.unsqueeze(-2).conj())


def powers_of(spectra: Tensor) -> Tensor:
    """Each channel's power, (..., C, C, 2) -> (..., C)."""
    return spectra[..., 0].diagonal(dim1=-2, dim2=-1)


def tied_frequencies(spectra: Tensor) -> Tensor:
    """Each frequency, and the three that a grid of 2x2 pixels ties to it, half a cycle per pixel off.

    Args:
        spectra: of windows of an even size, (..., C, n, n).

    Returns:
        (..., 4, C, n, n).
    """
    half = spectra.shape[-1] // 2
    shifts = [(0, 0), (0, half), (half, 0), (half, half)]
    return torch.stack([spectra.roll(shift, (-2, -1)) for shift in shifts], -4)


def cyclic_power(patches: Tensor) -> Tensor:
    """Products of each frequency with the conjugate of those that a 2x2 grid ties to it.

    The first of the four is the power. The means of the others over many patches that begin at even places
    are 0 unless their statistics differ between the four places of a 2x2 grid (Gardner's spectral
    correlation of cyclostationary signals).

    Args:
        patches: (..., C, n, n), n even.

    Returns:
        Real and imaginary part, (..., 4, C, n, n, 2).
    """
    values = torch.fft.fft2(_under_hann(patches))
    return torch.view_as_real(values.unsqueeze(-4) * tied_frequencies(values).conj())


def _under_hann(patches: Tensor) -> Tensor:
    """Less their mean and under a Hann window of unit power."""
    size = patches.shape[-1]
    hann = torch.hann_window(size, periodic=True, device=patches.device, dtype=patches.dtype)
    window = torch.outer(hann, hann)
    centred = patches - patches.mean((-2, -1), keepdim=True)
    return centred * (window / window.norm())


@lru_cache(maxsize=8)
def radial_frequency(size: int) -> Tensor:
    """Cycles per pixel of each bin of ``cross_spectrum``, (n, n//2 + 1)."""
    return torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None, :])


def per_stratum(counts: Tensor, values: Tensor) -> Tensor:
    """A number of each stratum, shaped to multiply the strata's values: (strata..., 1, 1, ...)."""
    return counts.view(*counts.shape, *(1 for _ in range(values.ndim - counts.ndim)))


class RunningMean(nn.Module):
    """Running mean of each stratum of windows over the batches; newer batches count more.

    Args:
        strata: how many, each with a mean of its own.
        shape: of a window's value.
        decay: largest share of the older batches.
    """

    sums: Tensor
    counts: Tensor
    batches: Tensor

    def __init__(self, strata: int, shape: tuple[int, ...], decay: float = 0.95) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("sums", torch.zeros(strata, *shape))
        self.register_buffer("counts", torch.zeros(strata))
        self.register_buffer("batches", torch.zeros(()))

    def extra_repr(self) -> str:
        return f"strata={len(self.counts)}, shape={tuple(self.sums.shape[1:])}, decay={self.decay}"

    @torch.no_grad()
    def update(self, sums: Tensor, counts: Tensor) -> Tensor:
        """Take in a batch's sums and counts of windows; returns the means."""
        decay = torch.minimum(self.batches / (self.batches + 1), torch.full_like(self.batches, self.decay))
        self.sums.lerp_(sums.detach(), 1 - decay)
        self.counts.lerp_(counts, 1 - decay)
        self.batches += 1
        return self.sums / per_stratum(self.counts.clamp(min=1e-9), self.sums)


def log_spectrum_loss(
    fake: Tensor, fake_mean: Tensor, real_mean: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """How far the samples' average powers are from the real ones, in natural logs.

    Args:
        fake: powers of the present batch, with gradient.
        fake_mean, real_mean: running averages, of the same shape.
        weights: what each value counts for, of the same shape.

    Returns:
        A loss whose gradient is that of a Huber penalty of ``log fake_mean - log real_mean`` (in the batch's
        powers), and the weighted mean absolute difference, to be watched.
    """
    difference = torch.log(fake_mean + 1e-9) - torch.log(real_mean + 1e-9)
    slope = (difference / 0.2).clamp(-1, 1)
    loss = (weights * slope * fake / (fake_mean + 1e-9)).sum()
    return loss, (weights * difference.abs()).sum() / weights.sum().clamp(min=1e-9)


def coherence_loss(
    fake: Tensor, fake_mean: Tensor, real_mean: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """How differently colours go together in samples and in real images, however faint they are.

    Args:
        fake: cross-spectra of the present batch, (..., C, C, 2), with gradient.
        fake_mean, real_mean: running averages, of the same shape.
        weights: what each frequency counts for, (...).

    Returns:
        A loss whose gradient is that of the squared distance of complex coherences, summed over each two of
        the channels (in the batch's cross-spectra), and that sum.
    """
    # No logs and no bounds, as powers have: the error of an average over few windows then averages out.
    unit = _unit(fake_mean)
    weights = weights[..., None, None, None]
    difference = fake_mean / unit - real_mean / _unit(real_mean)
    # Each two channels stand on both sides of the diagonal, on which there is nothing to compare.
    return (weights * difference * fake / unit).sum(), (weights * difference.square()).sum() / 2


def _unit(spectra: Tensor) -> Tensor:
    """What makes cross-spectra coherences, (..., C, C, 1)."""
    powers = (powers_of(spectra) + 1e-9).sqrt()
    return (powers.unsqueeze(-1) * powers.unsqueeze(-2)).unsqueeze(-1)


def grid_loss(batch: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """How much samples show the 2x2 grid of the squeezed flows: the coherence of the frequencies it ties.

    Args:
        batch: ``cyclic_power`` of the present batch, (strata, 4, 3, n, n, 2), with gradient.
        mean: its running average, of the same shape.

    Returns:
        A loss whose gradient is that of the mean squared coherence (in the batch's products), and that mean.
    """
    power = mean[:, :1, ..., 0]
    both = (power * tied_frequencies(power[:, 0]) + 1e-18).unsqueeze(-1)[:, 1:]
    tied, now = mean[:, 1:], batch[:, 1:]
    loss = (2 * tied * now / both).sum(-1).mean()
    return loss, (tied.square() / both).sum(-1).mean()
