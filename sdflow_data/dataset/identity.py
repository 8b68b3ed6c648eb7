"""Identifiers of patches and samples, and the seeds of samples. They are equal in all datasets."""

import re
from typing import NamedTuple

from sdflow.noise import derive_seed


class PatchId(NamedTuple):
    """The identity of a patch: the SHA-256 (hex) of its picture file, and its position in HR pixels."""

    sha256: str
    top: int
    left: int


def sample_id(patch: PatchId, variant: int) -> str:
    """The identifier of a sample.

    >>> sample_id(PatchId("0123456789abcdef" * 4, 256, 0), 3)
    '0123456789abcdef-000256-000000-v03'
    """
    return f"{patch.sha256[:16]}-{patch.top:06d}-{patch.left:06d}-v{variant:02d}"


def parse_sample_id(text: str) -> PatchId | None:
    """The patch of a sample, with the first 16 digits of the SHA-256; None if the text is not an identifier.

    >>> parse_sample_id("0123456789abcdef-000256-000000-v03")
    PatchId(sha256='0123456789abcdef', top=256, left=0)
    """
    parts = re.fullmatch(r"([0-9a-f]{16})-(\d{6,})-(\d{6,})-v\d{2,}", text)
    return None if parts is None else PatchId(parts[1], int(parts[2]), int(parts[3]))


def photograph_seed(seed: int, sha256: str, variant: int) -> int:
    """The seed of the LR photograph that the samples of a variant of a picture belong to.

    Samples of one LR photograph have one camera and one compression.

    Args:
        seed: the seed of the run.
        sha256: the SHA-256 (hex) of the HR picture.
        variant: the number of the variant.
    """
    return derive_seed(seed, int(sha256, 16), variant)


def sample_seed(seed: int, patch: PatchId, variant: int, draw: int) -> int:
    """The seed of a sample in a run with ``seed``. ``draw`` counts the earlier, non-finite draws."""
    return derive_seed(seed, int(patch.sha256, 16), patch.top, patch.left, variant, draw)
