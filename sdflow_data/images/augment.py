"""albumentations, kept from the network and seeded exactly."""

import os
import random

# At its import albumentations asks the network for its newest version. So this module alone imports it;
# others take it from here.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations
import numpy as np


def augment(pipeline: albumentations.Compose, picture: np.ndarray, seed: int) -> np.ndarray:
    """A pipeline's result for one picture as a pure function of (pipeline, picture, seed).

    Args:
        pipeline: any composition of image transforms. It is left seeded: not for use from several threads.
        picture: uint8 (H, W, 3).
        seed: >= 0.

    Returns:
        What the last transform gives, for most of them uint8 (H', W', 3).
    """
    # Not set_random_seed: it starts every transform from the same seed, so that a strong blur would always
    # come with strong noise. Here all of them draw from one stream, one after the other.
    stream = np.random.SeedSequence(seed)
    generator = np.random.Generator(np.random.PCG64(stream))
    pipeline.set_random_state(generator, random.Random(int(generator.integers(2**63))))
    return pipeline(image=picture)["image"]
