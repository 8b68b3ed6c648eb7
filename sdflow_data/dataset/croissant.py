"""A machine-readable description of a dataset or an export: Croissant 1.1, dataset metadata as JSON-LD.

The URLs in it are names of terms; nothing is fetched from them. It contains no date and no URL of the
dataset, so that the same pairs have the same bytes. A publisher adds ``datePublished`` and ``url``.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sdflow.files import sha256_file, to_json

from ..system.processes import cores
from .layout import Layout

_TERMS = "http://mlcommons.org/croissant/"
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": _TERMS,
    "rai": _TERMS + "RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}

_KINDS = {
    ".tar": "application/x-tar",
    ".parquet": "application/x-parquet",
    ".json": "application/json",
    ".csv": "text/csv",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".h5": "application/x-hdf5",
}
_ROWS = {"parquet": "data/*.parquet", "hdf5": "manifest.parquet"}
"""The tables with the rows of the samples, for formats without ``metadata.parquet``."""


def croissant(layout: Layout, folder: Path, files: Iterable[Path]) -> bytes:
    """The description of the pairs in a folder: files with checksums, columns, provenance.

    Args:
        layout: the layout of the pairs.
        folder: the folder.
        files: all files of the pairs, except for the many pictures in the format ``folder``.

    Returns:
        The contents of croissant.json.
    """
    high, low = layout.patch_size, layout.patch_size // layout.scale
    source: dict[str, Any] = {"@type": "prov:Entity", "name": "HR photographs"}
    sources = [{"@id": url, **source} for url in layout.provenance.source_urls] or [source]
    description = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": f"{layout.info.get('model', 'unknown')}-x{layout.scale}-pairs",
        "description": f"Pairs for super-resolution at scale {layout.scale}: HR patches of {high} x {high} "
        f"pixels, LR patches of {low} x {low} pixels, 8-bit RGB. {layout.origin}",
        "conformsTo": [_TERMS + "1.1", _TERMS + "RAI/1.0"],
        "version": "1.0.0",
        "keywords": ["super-resolution", "image restoration"],
        "isLiveDataset": False,
        "rai:hasSyntheticData": layout.is_synthetic,
        "rai:dataCollection": layout.origin,
        "rai:dataCollectionType": ["Software Collection"],
        "rai:dataPreprocessingProtocol": [f"Photographs are cut into HR patches of {high} x {high} pixels."],
        "rai:dataLimitations": [layout.limits],
        "rai:dataBiases": ["Those of the photographs that the HR patches are cut from."],
        "rai:dataUseCases": ["Training and testing of super-resolution networks."],
        "rai:personalSensitiveInformation": ["Patches show what the photographs show, people too."],
        "prov:wasDerivedFrom": sources,
        "prov:wasGeneratedBy": {"@type": "prov:Activity", "name": layout.origin},
        "distribution": [*_distribution(layout, folder, sorted(files))],
        "recordSet": [_rows(layout)],
    }
    if layout.provenance.licenses:
        description["license"] = list(layout.provenance.licenses)
    return to_json(description)


def _distribution(layout: Layout, folder: Path, paths: list[Path]) -> Iterator[dict[str, Any]]:
    """The files with their checksums, then the sets of files."""
    with ThreadPoolExecutor(cores()) as pool:
        digests = list(pool.map(sha256_file, paths))  # hashing releases the GIL
    for path, digest in zip(paths, digests):
        name = path.relative_to(folder).as_posix()
        yield {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "contentSize": f"{path.stat().st_size} B",
            "encodingFormat": _KINDS.get(path.suffix, "application/octet-stream"),
            "sha256": digest,
        }
    if layout.format == "folder":
        for side in ("hr", "lr"):
            yield _file_set(side, [f"{part}{side}/*.png" for part in layout.folders], "image/png")
    rows = _ROWS.get(layout.format, "metadata.parquet")
    yield _file_set("rows", [part + rows for part in layout.folders], _KINDS[".parquet"])


def _file_set(name: str, includes: list[str], kind: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "includes": includes,
        "encodingFormat": kind,
    }


def _rows(layout: Layout) -> dict[str, Any]:
    """The columns of the manifest, and the pictures if they are columns of a table."""
    fields = [_field(name, _data_type(kind)) for name, kind in layout.columns.items()]
    if layout.format == "parquet":
        for side in ("hr", "lr"):
            field = _field(side, "sc:ImageObject")
            field["source"]["transform"] = {"jsonPath": "bytes"}
            fields.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": "pairs",
        "name": "pairs",
        "description": "One row per LR sample: position, origin and statistics.",
        "key": {"@id": "pairs/sample_id"},
        "field": fields,
    }


def _field(name: str, kind: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"pairs/{name}",
        "name": name,
        "dataType": kind,
        "source": {"fileSet": {"@id": "rows"}, "extract": {"column": name}},
    }


def _data_type(pyarrow_name: str) -> str:
    if pyarrow_name.startswith(("int", "uint")):
        return "sc:Integer"
    return {"double": "sc:Float", "float": "sc:Float"}.get(pyarrow_name, "sc:Text")
