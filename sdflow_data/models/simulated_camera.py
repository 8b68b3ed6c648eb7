"""A simulated camera with known degradations, for testing estimators and training."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from sdflow.noise import noise_field
from sdflow.resample import bicubic_downscale, quantise


@dataclass(frozen=True, kw_only=True)
class SimulatedCamera:
    """Converts an HR scene to an LR photograph: blur, bicubic downscaling, photon and read-out noise, JPEG.

    The noise of a pixel of brightness v is normal with variance
    ``strength ** 2 * (poisson_gain * v + read_noise ** 2)``, in grey levels (Foi et al., IEEE TIP 2008).

    Attributes:
        scale: ratio of HR to LR size.
        blur_sigma: standard deviation of the Gaussian blur, in HR pixels; 0 for none.
        poisson_gain: variance of the noise per grey level of brightness.
        read_noise: standard deviation of the noise at black, in grey levels.
        strength: range of the factor of the noise; drawn uniformly for each photograph.
        jpeg_quality: 1 to 100; None for no JPEG.

    Raises:
        ValueError: a value is out of its range.
    """

    scale: int = 2
    blur_sigma: float = 1.2
    poisson_gain: float = 0.15
    read_noise: float = 2.0
    strength: tuple[float, float] = (0.7, 1.3)
    jpeg_quality: int | None = 85

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise ValueError(f"scale: expected 1 or more, got {self.scale}")
        for name in ("blur_sigma", "poisson_gain", "read_noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected 0 or more, got {getattr(self, name)}")
        if not 0 <= self.strength[0] <= self.strength[1]:
            raise ValueError(f"strength: expected 0 <= from <= to, got {self.strength}")
        if self.jpeg_quality is not None and not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality: expected 1 to 100 or None, got {self.jpeg_quality}")

    def __call__(self, hr: np.ndarray, seed: int) -> np.ndarray:
        """A photograph of a scene.

        Args:
            hr: the scene, uint8 (H, W, 3) RGB; H and W multiples of the scale.
            seed: identifies the photograph; equal seeds give equal noise.

        Returns:
            uint8 (H / scale, W / scale, 3).
        """
        clean = self._optics(hr)
        noise = noise_field(seed, 3, *clean.shape[:2]).transpose(1, 2, 0)
        noisy = clean + self.strength_of(seed) * self.noise_std(clean) * noise
        return self._jpeg(quantise(torch.from_numpy(noisy)).numpy())

    def noise_free(self, hr: np.ndarray) -> np.ndarray:
        """The photograph of a scene without noise and JPEG: uint8 (H / scale, W / scale, 3)."""
        return quantise(torch.from_numpy(self._optics(hr))).numpy()

    def noise_std(self, level: np.ndarray | float) -> np.ndarray:
        """Standard deviation of the noise at a brightness (grey levels, any shape), for strength 1."""
        return np.sqrt(self.poisson_gain * np.maximum(level, 0) + self.read_noise**2)

    def strength_of(self, seed: int) -> float:
        """The strength of the photograph with this seed: the factor of `noise_std`."""
        return float(np.random.Generator(np.random.Philox(seed)).uniform(*self.strength))

    def _optics(self, hr: np.ndarray) -> np.ndarray:
        """float32 (H / scale, W / scale, 3), grey levels, unclipped."""
        blurred: np.ndarray = hr.astype(np.float32)
        if self.blur_sigma:
            blurred = cv2.GaussianBlur(blurred, (0, 0), self.blur_sigma, borderType=cv2.BORDER_REFLECT_101)
        batch = torch.from_numpy(blurred).permute(2, 0, 1)[None]
        return bicubic_downscale(batch, self.scale)[0].permute(1, 2, 0).contiguous().numpy()

    def _jpeg(self, picture: np.ndarray) -> np.ndarray:
        if self.jpeg_quality is None:
            return picture
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert done and decoded is not None
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
