"""Seeds and latent noise as pure functions of their arguments.

All random numbers of samples come from here. A seed is derived from the identity of a sample, and a noise
field is a pure function of (seed, absolute position), so that batches, workers, tiles and restarts have no
effect. NumPy's Philox generator gives the same bits on every machine.
"""

import hashlib
from collections.abc import Callable

import numpy as np

BLOCK = 64
"""Side of the square blocks in which a field is drawn. All samples depend on it."""

_COMPONENT_STREAM, _FIELD_STREAM, _COMPONENT_FIELD_STREAM = 0, 1, 2


def derive_seed(*entropy: int) -> int:
    """A 63-bit seed from integers of any size, by SHA-256.

    ``SeedSequence`` alone does not distinguish (a, b), (a, b, 0) and one integer with the words of both.
    """
    text = ",".join(str(int(number)) for number in entropy)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def noise_field(
    seed: int, channels: int, height: int, width: int, *, top: int = 0, left: int = 0
) -> np.ndarray:
    """A window of an infinite field of standard normal noise.

    Args:
        seed: identifies the field.
        channels: C. Fields with other numbers of channels are different.
        height, width: size of the window.
        top, left: the absolute position, >= 0. Overlapping windows agree on the overlap.

    Returns:
        float32 (C, height, width).
    """
    return _field(
        (seed, _FIELD_STREAM), np.random.Generator.standard_normal, channels, height, width, top, left
    )


def _field(
    stream: tuple[int, int],
    draw: Callable[..., np.ndarray],
    channels: int,
    height: int,
    width: int,
    top: int,
    left: int,
) -> np.ndarray:
    if top < 0 or left < 0:
        raise ValueError(f"top, left: expected positions from 0 up, got {top}, {left}")
    field = np.empty((channels, height, width), np.float32)
    for block_y in range(top // BLOCK, -(-(top + height) // BLOCK)):
        for block_x in range(left // BLOCK, -(-(left + width) // BLOCK)):
            sequence = np.random.SeedSequence([*stream, channels, block_y, block_x])
            generator = np.random.Generator(np.random.Philox(sequence))
            block = draw(generator, (channels, BLOCK, BLOCK), np.float32)
            y, x = block_y * BLOCK - top, block_x * BLOCK - left  # the block's place in the window
            y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + BLOCK, height), min(x + BLOCK, width)
            field[:, y0:y1, x0:x1] = block[:, y0 - y : y1 - y, x0 - x : x1 - x]
    return field


def draw_component(seed: int, weights: np.ndarray) -> int:
    """Draw the mixture component of a sample: index k with probability ``weights[k]`` (>= 0, sum 1)."""
    sequence = np.random.SeedSequence([seed, _COMPONENT_STREAM])
    return int(_component(np.random.Generator(np.random.Philox(sequence)).random(), weights))


def component_field(
    seed: int,
    weights: np.ndarray,
    channels: int,
    height: int,
    width: int,
    *,
    top: int = 0,
    left: int = 0,
) -> np.ndarray:
    """Draw a component for each element of the `noise_field` of these arguments: int64 (C, height, width)."""
    uniform = _field(
        (seed, _COMPONENT_FIELD_STREAM), np.random.Generator.random, channels, height, width, top, left
    )
    return _component(uniform, weights)


def _component(uniform: float | np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Uniform numbers in [0, 1) to component indices."""
    chosen = np.searchsorted(np.cumsum(weights), uniform, side="right")
    return np.minimum(chosen, np.flatnonzero(weights)[-1])  # rounding may leave the sum below 1
