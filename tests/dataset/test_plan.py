"""A plan depends on pictures' bytes alone, covers each of them once, and only ever grows."""

import random
import shutil
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import pytest
from factory import write_picture, write_pictures
from hypothesis import given
from hypothesis import strategies as st
from small_recipe import RECIPE, changed

from sdflow.errors import SDFlowError
from sdflow_data.dataset.plan import FoundPicture, Plan, PlannedPicture, locate, scan
from sdflow_data.images.patches import grid

SMALL = changed(RECIPE, patch_size=16, stride=16, scale=2, patches_per_shard=5)

sizes = st.tuples(st.integers(0, 10**6), st.integers(16, 48), st.integers(16, 48))
found_pictures = st.lists(sizes, max_size=8, unique_by=lambda size: size[0]).map(
    lambda sizes: [
        FoundPicture(f"{n}.png", f"{n * 7919 % 1000003:064x}", height, width, Path(f"{n}.png"))
        for n, height, width in sizes
    ]
)


def planned_patches(plan: Plan) -> list[tuple[str, int, int]]:
    cuts = [cut for number in range(plan.shards) for cut in plan.shard(number)]
    return [patch for cut in cuts for patch in cut.patches(plan.recipe.grid)]


@given(found=found_pictures, stride=st.integers(4, 20), per_shard=st.integers(1, 9))
def test_the_shards_hold_every_patch_of_every_picture_once(
    found: list[FoundPicture], stride: int, per_shard: int
) -> None:
    recipe = changed(SMALL, stride=stride, patches_per_shard=per_shard)
    plan = Plan(recipe).extended(found, [])
    expected = [
        (picture.sha256, *position)
        for picture in found
        for position in grid(picture.height, picture.width, recipe.grid.patch_size, stride)
    ]
    assert sorted(planned_patches(plan)) == sorted(expected)
    assert plan.patches == len(expected)


@given(found=found_pictures)
def test_all_shards_but_the_last_are_full(found: list[FoundPicture]) -> None:
    plan = Plan(SMALL).extended(found, [])
    sizes = [sum(map(len, plan.shard(number))) for number in range(plan.shards)]
    assert all(size == SMALL.grid.patches_per_shard for size in sizes[:-1])
    assert all(sizes)


@given(found=found_pictures, shuffled=st.randoms())
def test_the_order_of_files_does_not_enter(found: list[FoundPicture], shuffled: random.Random) -> None:
    other = list(found)
    shuffled.shuffle(other)
    assert Plan(SMALL).extended(other, []) == Plan(SMALL).extended(found, [])


@given(found=found_pictures, data=st.data())
def test_pictures_that_come_later_move_nothing_that_was_planned(
    found: list[FoundPicture], data: st.DataObject
) -> None:
    earlier = data.draw(st.lists(st.sampled_from(found), unique=True)) if found else []
    before = Plan(SMALL).extended(earlier, [])
    after = before.extended(found, [])
    assert [after.shard(n) for n in range(before.shards)] == [before.shard(n) for n in range(before.shards)]
    assert sorted(planned_patches(after)) == sorted(planned_patches(Plan(SMALL).extended(found, [])))
    assert after.extended(found, []) == after


def test_a_plan_reads_back_as_it_was_saved(tmp_path: Path) -> None:
    hr = write_pictures(tmp_path / "hr")
    write_picture(hr / "small.png", 0, 8, 8)
    plan = Plan(SMALL).extended(*scan([hr]))
    assert (len(plan.pictures), len(plan.skipped)) == (3, 1)
    plan.save(tmp_path)
    assert Plan.load(tmp_path) == plan


def test_there_is_no_plan_in_an_empty_folder(tmp_path: Path) -> None:
    assert Plan.load(tmp_path) is None


def test_a_damaged_plan_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "plan.parquet").write_bytes(b"no parquet")
    with pytest.raises(SDFlowError, match=r"plan\.parquet: expected the plan of a dataset"):
        Plan.load(tmp_path)


def test_names_and_folders_do_not_enter_but_as_names(tmp_path: Path) -> None:
    first = write_pictures(tmp_path / "one" / "hr", range(4))
    second = tmp_path / "two"
    for number, path in enumerate(sorted(first.iterdir(), reverse=True)):
        (second / "deep").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, second / "deep" / f"renamed {number}.png")
    one, two = (Plan(SMALL).extended(*scan([folder])) for folder in (first, second))
    assert [replace(p, source="") for p in one.pictures] == [replace(p, source="") for p in two.pictures]
    assert {p.source for p in two.pictures} == {f"deep/renamed {number}.png" for number in range(4)}


def test_files_with_the_same_bytes_count_once_and_are_listed(tmp_path: Path) -> None:
    hr = write_pictures(tmp_path / "hr", [0])
    shutil.copy(hr / "0.png", hr / "copy.png")
    plan = Plan(SMALL).extended(*scan([hr, hr]))
    assert [picture.source for picture in plan.pictures] == ["0.png"]
    assert [(f.source, f.reason) for f in plan.skipped] == [
        ("0.png", "duplicate: has the same bytes as 0.png"),
        ("copy.png", "duplicate: has the same bytes as 0.png"),
        ("copy.png", "duplicate: has the same bytes as 0.png"),
    ]


def test_a_file_that_is_no_picture_and_one_that_is_too_small_are_listed(tmp_path: Path) -> None:
    hr = write_pictures(tmp_path / "hr", [0])
    (hr / "text.png").write_text("no picture")
    write_picture(hr / "small.png", 1, 12, 40)
    plan = Plan(SMALL).extended(*scan([hr]))
    assert [failure.source for failure in plan.skipped] == ["small.png", "text.png"]
    assert plan.skipped[0].reason == "40x12 pixels are smaller than a patch of 16"
    assert "expected a picture" in plan.skipped[1].reason


def test_a_renamed_picture_is_known_by_its_bytes(tmp_path: Path) -> None:
    hr = write_pictures(tmp_path / "hr", [0])
    plan = Plan(SMALL).extended(*scan([hr]))
    (hr / "0.png").rename(hr / "new.png")
    assert plan.extended(*scan([hr])) == plan


def test_pictures_of_one_name_in_two_folders_are_told_apart_by_their_bytes(tmp_path: Path) -> None:
    write_picture(tmp_path / "a" / "x.png", 1)
    write_picture(tmp_path / "b" / "x.png", 2)
    folders = [tmp_path / "a", tmp_path / "b"]
    found, failures = scan(folders)
    plan = Plan(SMALL).extended(found, failures)
    assert len(plan.pictures) == 2
    assert locate(plan.pictures, folders) == {picture.sha256: picture.path for picture in found}


def test_what_is_gone_is_not_located(tmp_path: Path) -> None:
    hr = write_pictures(tmp_path / "hr")
    plan = Plan(SMALL).extended(*scan([hr]))
    (hr / "1.png").unlink()
    assert {path.name for path in locate(plan.pictures, [hr]).values()} == {"0.png", "2.png"}


@pytest.mark.parametrize("rules", [PurePosixPath, PureWindowsPath])
@pytest.mark.parametrize(
    "source",
    [
        *("../0.png", "a/../../0.png", "/0.png", "{root}/0.png", "//host/share/0.png"),
        *(
            "..\\0.png",
            "a\\..\\..\\0.png",
            "\\0.png",
            "C:\\0.png",
            "C:0.png",
            "C:/0.png",
            "\\\\host\\share\\0.png",
        ),
    ],
)
def test_a_plan_of_others_names_nothing_outside_of_the_folders_on_any_system(
    source: str, rules: type[PurePath], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path, [0])
    hr = write_pictures(tmp_path / "hr", [1])
    (hr / "a").mkdir()
    looked_for: list[str] = []
    monkeypatch.setattr("sdflow_data.dataset.plan.PurePath", rules)
    monkeypatch.setattr(
        "sdflow_data.dataset.plan.as_displayed", lambda folder, name: looked_for.append(name) or []
    )
    picture = PlannedPicture(source.format(root=tmp_path), "0" * 64, 40, 36, 1, 0)
    assert locate([picture], [hr]) == {}
    inside = (rules is PurePosixPath and "\\" in source) or (
        source in ("C:0.png", "C:/0.png") and rules is PurePosixPath
    )
    assert bool(looked_for) == inside  # there, they are plain names
