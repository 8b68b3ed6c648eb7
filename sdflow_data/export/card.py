"""The dataset card of an export, for Hugging Face ``datasets`` and the Hub."""

from typing import Any

import yaml

from ..dataset.layout import Layout

_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
_PYARROW_NAMES = {"double": "float64", "float": "float32"}


def dataset_card(layout: Layout) -> str:
    """The text of README.md. With it, ``load_dataset(FOLDER)`` finds the parts of a split in all formats."""
    parts = zip(layout.samples, layout.folders)
    files = [{"split": name, "path": _files(layout.format, folder)} for name, folder in parts]
    header: dict[str, Any] = {
        **_licence(layout.provenance.licenses),
        "configs": [{"config_name": "default", "data_files": files}],
        "task_categories": ["image-to-image"],
        "tags": ["super-resolution", "image-restoration", *["synthetic"] * layout.is_synthetic, "sdflow"],
        "size_categories": [size_category(sum(layout.samples.values()))],
    }
    if layout.format == "webdataset":
        # ``datasets`` infers a column without values if the first samples are NaN.
        header["dataset_info"] = {"features": _features(layout)}
    hr, lr = ("hr.png", "lr.png") if layout.format == "webdataset" else ("hr", "lr")
    counts = "".join(f"| `{name}` | {count} |\n" for name, count in layout.samples.items())
    needs = "3.4" if layout.format == "folder" else "2.21"
    sources = "".join(f"- {url}\n" for url in layout.provenance.source_urls)
    sources = f"\nThe photographs are from:\n\n{sources}" if sources else ""
    return f"""\
---
{yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=2**31)}---
# Pairs for super-resolution, scale {layout.scale}

HR patches of {layout.patch_size} x {layout.patch_size} pixels in column `{hr}`, LR patches of \
{layout.patch_size // layout.scale} x {layout.patch_size // layout.scale} pixels in column `{lr}`, 8-bit RGB.

| split | pairs |
|---|---|
{counts}
```python
from datasets import load_dataset

pairs = load_dataset("path/to/this/folder")
```
This needs `datasets` {needs} or newer. The path must not contain `*`, `?`, `[` or `]`, which are patterns
there.

## How it was made

HR patches are cut from photographs. {layout.origin}
{sources}
## Limits

{layout.limits} The pairs inherit the licences and the biases of the photographs that they are cut from.
"""


def _licence(licenses: tuple[str, ...]) -> dict[str, str | list[str]]:
    if not licenses:
        return {}
    return {"license": licenses[0] if len(licenses) == 1 else list(licenses)}


def _files(format: str, folder: str) -> str | list[str]:
    if format == "folder":
        return [f"{folder}{name}" for name in ("metadata.parquet", "hr/*.png", "lr/*.png")]
    return folder + {"webdataset": "pairs-*.tar", "parquet": "data/pairs-*.parquet"}[format]


def size_category(samples: int) -> str:
    """The size category of the Hub for a number of samples: ``n<1K``, ``1K<n<10K`` and so on."""
    place = len(str(max(samples, 1))) - 3
    if place <= 0:
        return f"n<{_SIZES[0]}"
    return f"{_SIZES[place - 1]}<n<{_SIZES[place]}" if place < len(_SIZES) else f"n>{_SIZES[-1]}"


def _features(layout: Layout) -> list[dict[str, Any]]:
    """The columns of the tar files with their types, in the notation of ``datasets``."""
    row = [{"name": name, "dtype": _PYARROW_NAMES.get(kind, kind)} for name, kind in layout.columns.items()]
    pictures = [{"name": name, "dtype": "image"} for name in ("hr.png", "lr.png")]
    texts = [{"name": name, "dtype": "string"} for name in ("__key__", "__url__")]
    return [*pictures, {"name": "json", "struct": row}, *texts]
