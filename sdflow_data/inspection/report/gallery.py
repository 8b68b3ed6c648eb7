"""The gallery: patches with their bicubic and real counterparts, and samples of each component."""

from html import escape

import numpy as np
import pandas as pd

from ...statistics.compare import FeatureScale
from ...statistics.distances import squared_distances
from ...statistics.frames import bicubic_patches
from ..inspection import Inspection
from ..tables import number
from .markup import data_table
from .plots import picture

_ROWS, _VARIANTS, _NEAREST = 4, 4, 2
_NEIGHBOURS = 5
_STRIP, _STRIP_SIZE = 8, 64
_MOST_COMPONENTS = 32


def patches(inspection: Inspection) -> str:
    """HR, bicubic, variants and the nearest real patches, for the best, the median and the worst patches."""
    samples, real = inspection.measured.samples, inspection.real
    against = samples if real is None else real.patches
    scale = FeatureScale(against.frame)
    thinned = samples.frame.iloc[:: -(-len(samples.frame) // 4000)]
    own = scale(thinned)
    others = scale(against.frame.iloc[against.rows])
    distances = np.sqrt(squared_distances(own, others))
    if real is None:
        by_sample = pd.Series(np.median(distances, axis=1), thinned.index)
        names = ("Most ordinary", "In between", "Most unusual")
        measured = "by the median distance of a sample’s statistics from all others’"
    else:
        near = min(_NEIGHBOURS, distances.shape[1])
        nearest = np.partition(distances, near - 1, axis=1)[:, :near]
        by_sample = pd.Series(nearest.mean(axis=1), thinned.index)
        names = ("Most like real photographs", "In between", "Least like real photographs")
        measured = f"by the distance of a sample’s statistics from its {near} nearest real patches"
    order = _with_edges(samples.frame.loc[by_sample.sort_values().index])
    middle = order.iloc[np.argsort(np.abs(np.arange(len(order)) - len(order) // 2), kind="stable")]
    groups = "".join(
        f"<h3>{name}</h3>" + "".join(_patch(inspection, row, scale, others) for row in _first(ranked))
        for name, ranked in zip(names, (order, middle, order.iloc[::-1]))
    )
    return f"""
  <p class="note">Ranked {measured}. The first variant of a patch is the ranked sample. Click on a picture to
  see it beside its HR, its bicubic LR and a real patch, all at one zoom. The arrow keys step through variants
  and patches.</p>
  {groups}"""


def _with_edges(ranked: pd.DataFrame) -> pd.DataFrame:
    """The patches with an edge, if there are enough. A patch of sky shows little."""
    with_edges = ranked[ranked["sharpness"].notna()]
    return with_edges if len(with_edges) >= 3 * _ROWS else ranked


def _first(ranked: pd.DataFrame) -> list[int]:
    """The first rows from different photographs, then any rows, up to the number shown."""
    distinct = ranked.drop_duplicates("group").index
    rest = ranked.index.difference(distinct, sort=False)
    return [int(row) for row in [*distinct, *rest][:_ROWS]]


def _patch(inspection: Inspection, row: int, scale: FeatureScale, others: np.ndarray) -> str:
    dataset = inspection.dataset
    columns = dataset.columns(["shard", "row", "source", "top", "left", "sample_id", "variant"]).iloc[row]
    with dataset.shard(columns["shard"]) as shard:
        hr, lr = shard.hr[columns["row"]], shard.lr[columns["row"]]
    where = f"{columns['source']}, row {columns['top']}, column {columns['left']}"
    first = int(columns["variant"])
    order = [first, *(k for k in range(len(lr)) if k != first)][:_VARIANTS]
    cells = [_cell(hr, "HR", where), _cell(bicubic_patches(hr[None], lr.shape[1])[0], "bicubic", where)]
    cells += [_cell(lr[k], f"variant {k}", f"{where}, variant {k}") for k in order]
    if inspection.real is not None:
        real = inspection.real.patches
        own = scale(inspection.measured.samples.frame.iloc[[row]])
        nearest = np.argsort(squared_distances(own, others)[0])[:_NEAREST]
        cells += [_cell(real.pixels[i], "real", str(real.groups[i]), "real") for i in nearest]
    title = f"{escape(where)} <code>{escape(columns['sample_id'])}</code>"
    return f'<div class="patch"><p>{title}</p><div class="row">{"".join(cells)}</div></div>'


def _cell(pixels: np.ndarray, label: str, title: str, kind: str = "") -> str:
    size = f"{pixels.shape[1]} px"
    return (
        f'<figure class="{kind}"><button type="button" class="zoomable" title="{escape(title)}">'
        f'<img class="pixels" src="{picture(pixels)}" alt="{escape(label)}"></button>'
        f"<figcaption>{escape(label)} <small>{size}</small></figcaption></figure>"
    )


def components(inspection: Inspection) -> str:
    """A table of the components: frequency, and samples of the same patches. Empty for fewer than two.

    It has the weights of the components if the dataset was made to match a set of photographs.
    """
    found = inspection.components
    if len(found) < 2:
        return ""
    manifest = inspection.dataset.columns(["shard", "row", "variant", "component"]).reset_index(drop=True)
    shared = _shared_patches(manifest)
    heads = (
        "component",
        "samples",
        "share",
        *(["weight"] if found[0].weight is not None else []),
        "noise (levels)",
        "sharpness (1/pixel)",
        "the same patches, grey where not drawn",
    )
    rows = []
    for one in found[:_MOST_COMPONENTS]:
        of = manifest["component"] == one.component
        firsts = manifest[of].drop_duplicates(["shard", "row"]).set_index(["shard", "row"], drop=False)
        size = inspection.measured.samples.pixels.shape[1]
        tiles = [
            _sample(inspection, firsts.loc[patch])
            if patch in firsts.index
            else np.full((min(size, _STRIP_SIZE),) * 2 + (3,), 128, np.uint8)
            for patch in shared
        ]
        cells = [f"{one.samples:,}", f"{one.share:.1%}"]
        cells += [] if one.weight is None else [f"{one.weight:.1%}"]
        cells += [number(one.noise), number(one.sharpness)]
        strip = picture(np.concatenate(tiles, axis=1))
        rows.append(
            f"<tr><th scope='row'>{one.component}</th>"
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + f'<td><button type="button" class="zoomable" title="component {one.component}">'
            f'<img class="strip pixels" src="{strip}" alt="component {one.component}"></button></td></tr>'
        )
    return data_table("Mixture components", heads, "".join(rows), kind="components")


def _shared_patches(manifest: pd.DataFrame) -> list[tuple[int, int]]:
    """Shard and row of patches with samples of the most components, spread evenly."""
    drawn = manifest.groupby(["shard", "row"])["component"].nunique()
    most = drawn[drawn == drawn.max()]
    chosen = np.linspace(0, len(most) - 1, min(_STRIP, len(most))).astype(int)
    return [(int(shard), int(row)) for shard, row in most.index[chosen]]


def _sample(inspection: Inspection, place: pd.Series) -> np.ndarray:
    """The centre of a sample."""
    with inspection.dataset.shard(place["shard"]) as shard:
        sample: np.ndarray = shard.lr[place["row"], place["variant"]]
    start = max(0, (len(sample) - _STRIP_SIZE) // 2)
    return sample[start : start + _STRIP_SIZE, start : start + _STRIP_SIZE]
