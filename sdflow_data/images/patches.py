"""Positions of patches in a picture, as pure functions of sizes."""


def positions(length: int, patch: int, stride: int) -> list[int]:
    """The starts of patches along one side, in pixels: 0, stride, ..., and a last one flush with the edge.

    With ``stride <= patch`` every pixel is covered. A side shorter than a patch has no patches.

    >>> positions(600, 256, 256)
    [0, 256, 344]
    """
    if patch < 1 or stride < 1:
        raise ValueError(f"patch, stride: expected at least 1, got {patch}, {stride}")
    if length < patch:
        return []
    starts = list(range(0, length - patch + 1, stride))
    return starts if starts[-1] == length - patch else [*starts, length - patch]


def grid(
    height: int, width: int, patch: int, stride: int, first: int = 0, end: int | None = None
) -> list[tuple[int, int]]:
    """(top, left) of the square patches of a picture, row by row, from index ``first`` up to ``end``.

    >>> grid(256, 600, 256, 256)
    [(0, 0), (0, 256), (0, 344)]
    """
    tops, lefts = positions(height, patch, stride), positions(width, patch, stride)
    chosen = range(len(tops) * len(lefts))[first:end]
    return [(tops[index // len(lefts)], lefts[index % len(lefts)]) for index in chosen]


def grid_size(height: int, width: int, patch: int, stride: int) -> int:
    """``len(grid(...))``, without building the grid."""
    return len(positions(height, patch, stride)) * len(positions(width, patch, stride))
