"""What was measured of photographs, as options of pipelines that degrade pictures on the fly.

The keys are those that Real-ESRGAN (Wang et al., 2021) published, which traiNNer-redux reads too: blur in the
section of the training dataset, the rest at the top. Their first degradation works on HR and gets the blur;
their second works at the size of LR, as a camera's noise and codec do, and gets those.
"""

import numpy as np

from ..models.degraders import Ranges
from .photographs import Survey

_LOW, _HIGH = 0.05, 0.95
_LEAST_BLUR = 0.1


def ranges_of(photographs: Survey) -> Ranges:
    """The ranges of a set's measured photographs: 5 % lie below and 5 % above."""
    frame = photographs.frame
    coded = frame.loc[frame["quality"] < 100, "quality"]
    low, high = _range(coded.to_numpy(np.float64)) if len(coded) else (95.0, 95.0)
    blur, noise = (_range(frame[name].to_numpy(np.float64)) for name in ("blur", "noise"))
    return Ranges(
        blur_low=max(blur[0], _LEAST_BLUR),
        blur_high=max(blur[1], _LEAST_BLUR),
        noise_low=noise[0],
        noise_high=noise[1],
        jpeg_low=float(np.floor(low)),
        jpeg_high=float(np.ceil(high)),
        jpeg_share=round(float((frame["quality"] < 100).mean()), 4),
    )


def _range(values: np.ndarray) -> tuple[float, float]:
    told = values[~np.isnan(values)]
    if not len(told):
        return 0.0, 0.0
    low, high = np.quantile(told, [_LOW, _HIGH])
    return round(float(low), 2), round(float(high), 2)


def otf_yaml(photographs: Survey, scale: int) -> str:
    """Options as YAML. Blur, which those pipelines apply to HR, is in HR pixels of that scale."""
    ranges = ranges_of(photographs)
    blur = [round(sigma * scale, 2) for sigma in (ranges.blur_low, ranges.blur_high)]
    noise, jpeg = [ranges.noise_low, ranges.noise_high], [int(ranges.jpeg_low), int(ranges.jpeg_high)]
    count = len(photographs.measured)
    return f"""\
# Measured by sdflow inspect on {count} photographs. Copy the keys into the options of Real-ESRGAN or
# traiNNer-redux. blur_prob, blur_prob2, jpeg_prob and jpeg_prob2 are of traiNNer-redux alone; the other one
# compresses all pictures.
scale: {scale}

# The first degradation, of HR: the blur.
blur_prob: 1.0
resize_prob: [0, 0, 1]  # up, down, keep
resize_range: [1, 1]
gaussian_noise_prob: 1.0
noise_range: [0, 0]
poisson_scale_range: [0, 0]
gray_noise_prob: 0.0
jpeg_prob: 0.0
jpeg_range: [95, 95]

# The second, of LR: noise and JPEG.
second_blur_prob: 0.0
blur_prob2: 0.0
resize_prob2: [0, 0, 1]
resize_range2: [1, 1]
gaussian_noise_prob2: 1.0
noise_range2: {noise}
poisson_scale_range2: [0, 0]
gray_noise_prob2: 0.0
jpeg_prob2: {ranges.jpeg_share:.2f}
jpeg_range2: {jpeg}

datasets:
  train:
    kernel_list: ['iso', 'aniso']
    kernel_prob: [0.7, 0.3]
    sinc_prob: 0.0
    blur_sigma: {blur}
    kernel_list2: ['iso', 'aniso']
    kernel_prob2: [0.7, 0.3]
    sinc_prob2: 0.0
    blur_sigma2: [0.1, 0.1]
    final_sinc_prob: 0.0
"""
