"""The data of the plots, for the script of the page, and the pictures of kernels."""

import base64
import math
from typing import Any

import numpy as np
import pandas as pd
import torch

from sdflow.camera import Camera, along_rows

from ...images.writing import encode_png
from ...statistics.kernel import Kernel
from ...statistics.noise import noise_curve
from ...statistics.spectrum import BANDS
from ..inspection import Inspection
from ..tables import number

_BINS, _POINTS = 60, 400
_SHOWN = 13
"""Taps of a measured camera's kernel that are shown, of 33. The others are almost zero."""

_COLOURS = ("brightness", "R - B", "R - 2G + B")


def data(inspection: Inspection) -> dict[str, Any]:
    """Everything that is plotted, rounded to four digits."""
    sets = {"generated": inspection.measured.samples.frame, "bicubic": inspection.measured.bicubic.frame}
    if inspection.real is not None:
        sets["real"] = inspection.real.patches.frame
    return {
        "statistics": {
            str(name): {
                "unit": row["unit"],
                "description": row["description"],
                "numbers": {key: _round(row[key]) for key in _NUMBERS},
                "histogram": _histogram({side: frame[name] for side, frame in sets.items() if name in frame}),
            }
            for name, row in inspection.table.iterrows()
        },
        "spectrum": {side: _spectrum(frame) for side, frame in sets.items()},
        "noise": {side: _noise(frame) for side, frame in sets.items()},
        "shift": _shift(inspection.measured.samples.frame),
        "cameras": [_camera(camera.measured) for camera in inspection.cameras],
    }


_NUMBERS = ("generated", "real", "bicubic", "distance", "low", "high", "floor", "ceiling")


def picture(pixels: np.ndarray) -> str:
    """A picture, uint8 (H, W, 3), as a data URL."""
    return "data:image/png;base64," + base64.b64encode(encode_png(np.ascontiguousarray(pixels))).decode()


def kernel_figure(kernel: Kernel | None) -> str:
    """The figure of the blur kernel as HTML; empty for None."""
    if kernel is None:
        return ""
    wide, narrow = kernel.widths
    right, down = map(number, kernel.shift)
    turned = f", longest at {kernel.angle:.0f}°" if wide - narrow > 0.05 else ""
    side = len(kernel.taps)
    caption = (
        f"Blur beyond bicubic: {wide:.2f} × {narrow:.2f} LR pixels{turned}. "
        f"Shift: {right} to the right, {down} downwards."
    )
    return f"""
<figure><figcaption>Kernel from HR to LR <small>least squares over the dataset</small></figcaption>
  {_kernel_picture(kernel.taps, side / kernel.scale, f"Kernel. {caption}")}
  <p>{caption}</p>
  <p>{side} × {side} taps, one for each HR pixel. {_ink(kernel.taps)}</p>
</figure>"""


def camera_figure(camera: Camera) -> str:
    """The figure of the centre of a measured camera's luma kernel as HTML."""
    kernel = camera.response[0].double().numpy()
    middle, reach = len(kernel) // 2, _SHOWN // 2
    taps = kernel[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
    return f"""
<figure><figcaption>Kernel of brightness <small>from content at LR size to LR</small></figcaption>
  {_kernel_picture(taps, _SHOWN, "Kernel of brightness")}
  <p>The middle {_SHOWN} × {_SHOWN} taps, one for each LR pixel. {_ink(taps)}</p>
</figure>"""


def _kernel_picture(taps: np.ndarray, across: float, caption: str) -> str:
    """A kernel with a ruler; see `_ink` for its colours."""
    relative = taps / taps.max()
    strength = np.sqrt(np.abs(relative)).clip(0, 1)[..., None]
    ink = np.where(relative[..., None] > 0, (30, 80, 170), (200, 50, 40))
    pixels = np.rint(255 + (ink - 255) * strength).astype(np.uint8)
    return f"""
<div class="kernel"><img class="pixels" src="{picture(pixels)}" alt="{caption}">
<span class="ruler">{across:g} LR pixels</span></div>"""


def _ink(taps: np.ndarray) -> str:
    return (
        f"Blue is positive, at most {taps.max():.3f}; red is negative. Saturation grows with the square root."
    )


def _histogram(values: dict[str, pd.Series]) -> dict[str, Any] | None:
    """Relative histograms in common bins over the central 99 % of each set; outliers are in the end bins."""
    finite = {side: column.dropna().to_numpy(np.float64) for side, column in values.items()}
    finite = {side: column for side, column in finite.items() if len(column)}
    if not finite:
        return None
    low = min(np.quantile(column, 0.005) for column in finite.values())
    high = max(np.quantile(column, 0.995) for column in finite.values())
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    shares = {
        side: [round(float(n) / len(column), 5) for n in np.histogram(column.clip(low, high), edges)[0]]
        for side, column in finite.items()
    }
    return {"low": _round(low), "high": _round(high), "shares": shares}


def _spectrum(frame: pd.DataFrame) -> dict[str, Any]:
    columns = frame[[f"spectrum_{n}" for n in range(1, len(BANDS) + 1)]].dropna(axis=1, how="all")
    bands = [BANDS[int(str(name).rsplit("_")[-1]) - 1] for name in columns]
    low, middle, high = columns.quantile([0.16, 0.5, 0.84]).to_numpy()
    return {"x": _rounded(bands), "y": _rounded(middle), "low": _rounded(low), "high": _rounded(high)}


def _noise(frame: pd.DataFrame) -> dict[str, Any]:
    curve = noise_curve(frame)
    plotted: dict[str, Any] = {"x": _rounded(curve.levels), "y": _rounded(curve.sigmas), "fit": None}
    if not math.isnan(curve.gain):
        x = np.linspace(curve.levels.min(), curve.levels.max(), 40)
        fit = np.sqrt((curve.gain * x + curve.dark**2).clip(0))
        plotted["fit"] = {"x": _rounded(x), "y": _rounded(fit)}
    return plotted


def _camera(camera: Camera) -> dict[str, Any]:
    """Response against frequency and noise against brightness, of each opponent colour."""
    frequency, levels = np.linspace(0, 0.5, 51), np.linspace(0, 255, camera.strength.shape[1])
    responses = [along_rows(kernel, torch.from_numpy(frequency)).numpy() for kernel in camera.response]
    noises = camera.strength.double().numpy()
    return {
        name: {colour: {"x": _rounded(x), "y": _rounded(curve)} for colour, curve in zip(_COLOURS, curves)}
        for name, x, curves in (("response", frequency, responses), ("noise", levels, noises))
    }


def _shift(frame: pd.DataFrame) -> dict[str, list[float]]:
    found = frame[["shift_x", "shift_y"]].dropna()
    some = found.iloc[:: -(-len(found) // _POINTS) or 1].clip(-1.5, 1.5)
    return {"x": _rounded(some["shift_x"]), "y": _rounded(some["shift_y"])}


def _round(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.4g}")


def _rounded(values: Any) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
