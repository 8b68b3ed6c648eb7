"""The patch grid covers a picture, in order, without leaving it."""

from hypothesis import given
from hypothesis import strategies as st

from sdflow_data.images.patches import grid, grid_size, positions

sizes = st.integers(1, 300)


@given(length=sizes, patch=st.integers(1, 100), data=st.data())
def test_patches_cover_every_pixel_when_the_stride_is_not_larger_than_a_patch(
    length: int, patch: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, patch))
    covered = {pixel for start in positions(length, patch, stride) for pixel in range(start, start + patch)}
    assert covered == (set(range(length)) if length >= patch else set())


@given(length=sizes, patch=st.integers(1, 100), stride=st.integers(1, 100))
def test_positions_rise_and_stay_inside(length: int, patch: int, stride: int) -> None:
    starts = positions(length, patch, stride)
    assert starts == sorted(set(starts))
    assert all(0 <= start <= length - patch for start in starts)


@given(length=sizes, patch=st.integers(1, 100), stride=st.integers(1, 100))
def test_all_but_the_last_position_are_multiples_of_the_stride(length: int, patch: int, stride: int) -> None:
    starts = positions(length, patch, stride)
    assert starts[:-1] == [stride * i for i in range(len(starts[:-1]))]
    assert not starts or starts[-1] == length - patch


@given(height=sizes, width=sizes, patch=st.integers(1, 100), stride=st.integers(1, 100))
def test_the_grid_is_the_product_of_its_sides_row_by_row(
    height: int, width: int, patch: int, stride: int
) -> None:
    cells = grid(height, width, patch, stride)
    assert cells == sorted(set(cells))
    assert len(cells) == grid_size(height, width, patch, stride)
    assert {top for top, _ in cells} <= set(positions(height, patch, stride))
