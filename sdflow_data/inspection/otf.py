"""Measurements of photographs as options of pipelines that degrade pictures on the fly.

The keys are those of Real-ESRGAN (Wang et al., ICCVW 2021), which traiNNer-redux reads too. Blur is in the
section of the training dataset, the rest at the top level. The first degradation of these pipelines works on
HR and gets the blur. The second works at LR size, like a camera's noise and codec, and gets these.
"""

import numpy as np

from sdflow.wording import counted

from ..models.degraders import Ranges
from .photographs import Survey

_LOW, _HIGH = 0.05, 0.95
_LEAST_BLUR = 0.1


def ranges_of(photographs: Survey) -> Ranges:
    """The range from the 5 % to the 95 % quantile of each property of the measured photographs."""
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
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 0.0
    low, high = np.quantile(known, [_LOW, _HIGH])
    return round(float(low), 2), round(float(high), 2)


def otf_yaml(photographs: Survey, scale: int) -> str:
    """Options as YAML.

    Args:
        photographs: the measured LR photographs.
        scale: ratio of HR to LR size. Blur is in HR pixels, because those pipelines apply it to HR.
    """
    ranges = ranges_of(photographs)
    blur = [round(sigma * scale, 2) for sigma in (ranges.blur_low, ranges.blur_high)]
    noise, jpeg = [ranges.noise_low, ranges.noise_high], [int(ranges.jpeg_low), int(ranges.jpeg_high)]
    count = counted(len(photographs.measured), "photograph")
    return f"""\
# Measured by sdflow inspect on {count}. Copy the keys into the options of Real-ESRGAN or
# traiNNer-redux. Only traiNNer-redux reads blur_prob, blur_prob2, jpeg_prob and jpeg_prob2; Real-ESRGAN
# compresses all pictures.
scale: {scale}

# The first degradation, on HR: blur.
blur_prob: 1.0
resize_prob: [0, 0, 1]  # up, down, keep
resize_range: [1, 1]
gaussian_noise_prob: 1.0
noise_range: [0, 0]
poisson_scale_range: [0, 0]
gray_noise_prob: 0.0
jpeg_prob: 0.0
jpeg_range: [95, 95]

# The second degradation, on LR: noise and JPEG.
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
