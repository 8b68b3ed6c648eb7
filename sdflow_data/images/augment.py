"""albumentations, without its network access and with exact seeds."""

import os
import random

# albumentations asks the network for its newest version when it is imported. Only this module imports it;
# other modules import it from here.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations
import numpy as np


def augment(pipeline: albumentations.Compose, picture: np.ndarray, seed: int) -> np.ndarray:
    """A pipeline's result for one picture as a pure function of (pipeline, picture, seed).

    Args:
        pipeline: any composition of image transforms. It is seeded in place, so it is not thread-safe.
        picture: uint8 (H, W, 3).
        seed: >= 0.

    Returns:
        The output of the last transform, usually uint8 (H', W', 3).
    """
    # set_random_seed would start every transform from the same seed, so that a strong blur would always come
    # with strong noise. Here all transforms draw from one stream.
    stream = np.random.SeedSequence(seed)
    generator = np.random.Generator(np.random.PCG64(stream))
    pipeline.set_random_state(generator, random.Random(int(generator.integers(2**63))))
    return pipeline(image=picture)["image"]
