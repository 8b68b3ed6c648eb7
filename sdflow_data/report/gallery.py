"""Pictures: patches with their bicubic and real counterparts, and what each component makes."""

from html import escape

import numpy as np
import pandas as pd

from ..statistics.compare import FeatureScale
from ..statistics.distances import squared_distances
from ..statistics.frames import bicubic_patches
from ..statistics.inspection import Inspection
from .plots import picture

_ROWS, _VARIANTS, _NEAREST = 4, 4, 2
_NEIGHBOURS = 5
_STRIP = 8
_MOST_COMPONENTS = 32


def patches(inspection: Inspection) -> str:
    """HR, bicubic, variants and the nearest real patches, of the best, the usual and the worst patches."""
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
        nearest = np.partition(distances, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
        by_sample = pd.Series(nearest.mean(axis=1), thinned.index)
        names = ("Most like real photographs", "In between", "Least like real photographs")
        measured = f"by the distance of a sample’s statistics from its {_NEIGHBOURS} nearest real patches"
    order = _telling(samples.frame.loc[by_sample.sort_values().index])
    middle = order.iloc[np.argsort(np.abs(np.arange(len(order)) - len(order) // 2), kind="stable")]
    groups = "".join(
        f"<h3>{name}</h3>" + "".join(_patch(inspection, row, scale, others) for row in _first(ranked))
        for name, ranked in zip(names, (order, middle, order.iloc[::-1]))
    )
    return f"""
<section id="gallery">
  <h2>Gallery</h2>
  <p class="note">Ranked {measured}. Click on a picture to see every pixel.</p>
  {groups}
</section>"""


def _telling(ranked: pd.DataFrame) -> pd.DataFrame:
    """Those that show an edge, if they are not too few: one piece of sky says little."""
    telling = ranked[ranked["sharpness"].notna()]
    return telling if len(telling) >= 3 * _ROWS else ranked


def _first(ranked: pd.DataFrame) -> list[int]:
    """The first rows that are of different photographs, then any, to the number shown."""
    distinct = ranked.drop_duplicates("group").index
    rest = ranked.index.difference(distinct, sort=False)
    return [int(row) for row in [*distinct, *rest][:_ROWS]]


def _patch(inspection: Inspection, row: int, scale: FeatureScale, others: np.ndarray) -> str:
    dataset = inspection.dataset
    columns = dataset.columns(["shard", "row", "source", "top", "left", "sample_id", "variant"]).iloc[row]
    with dataset.shard(columns["shard"]) as shard:
        hr, lr = shard.hr[columns["row"]], shard.lr[columns["row"]]
    where = f"{columns['source']} at {columns['top']}, {columns['left']}"
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
        f'<figure class="{kind}"><img class="pixels zoomable" src="{picture(pixels)}" '
        f'alt="{escape(label)}" title="{escape(title)}"><figcaption>{escape(label)} <small>{size}</small>'
        "</figcaption></figure>"
    )


def components(inspection: Inspection) -> str:
    """A strip of samples of each mixture component; nothing if the model has none."""
    manifest = inspection.dataset.columns(["shard", "row", "variant", "component"])
    counts = manifest["component"].value_counts().sort_index()
    counts = counts[counts.index >= 0]
    if len(counts) < 2:
        return ""
    frame = inspection.measured.samples.frame
    rows = []
    for component in counts.index[:_MOST_COMPONENTS]:
        of = np.flatnonzero(manifest["component"] == component)
        some = of[np.linspace(0, len(of) - 1, min(_STRIP, len(of))).astype(int)]
        strip = np.concatenate([_sample(inspection, manifest.iloc[i]) for i in some], axis=1)
        noise, sharpness = (frame[name].iloc[of].dropna().median() for name in ("noise_sigma", "sharpness"))
        rows.append(
            f"<tr><th>{component}</th><td>{counts[component]:,}</td><td>{noise:.1f}</td><td>{sharpness:.2f}</td>"
            f'<td><img class="strip zoomable" src="{picture(strip)}" alt="component {component}" '
            f'title="component {component}"></td></tr>'
        )
    return f"""
<section id="components">
  <h2>Mixture components</h2>
  <div class="scroll"><table class="components">
    <thead><tr><th>component</th><th>samples</th><th>noise</th><th>sharpness</th><th></th></tr></thead>
    <tbody>{"".join(rows)}</tbody>
  </table></div>
</section>"""


def _sample(inspection: Inspection, place: pd.Series) -> np.ndarray:
    with inspection.dataset.shard(place["shard"]) as shard:
        sample: np.ndarray = shard.lr[place["row"], place["variant"]]
    return sample
