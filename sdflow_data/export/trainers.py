"""The trainers that read exports, and their configuration files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdflow.errors import ArgumentError

from ..dataset.layout import Layout
from ..system.names import displayed
from .card import dataset_card
from .templates import TOML, YAML, Changes, CommentedJSON, Notation

_WORKERS, _BATCH = 8, 16
_MANY = 50_000  # pairs, from which on trainers with a quadratic search take long to start
_NIQE_BLOCK = 96  # pixels
_VALIDATION = {"val_freq": 5000, "save_img": False}

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Configuration:
    """The configuration file of a trainer.

    Attributes:
        name: the name of the file.
        notation: its syntax.
        changes: the settings for an export, as a function of its layout and the values of a template.
        template: a configuration in the trainer's repository that can serve as template.
    """

    name: str
    notation: Notation
    changes: Callable[[Layout, Values], Changes]
    template: str

    def text(self, title: str, layout: Layout, template: str | None) -> str:
        """The text of the file: a template with the settings of an export; without a template, only these.

        Raises:
            ArgumentError: the template is not a configuration of this trainer.
        """
        if template is not None:
            values = self.notation.read(template)
            _check_template(values, title)
            return self.notation.edit(template, self.changes(layout, values))
        lines = [
            f"The settings of {title} for the pairs. They are not a complete configuration.",
            f"The same export with the template {self.template}",
            "(or another configuration) writes a complete one.",
        ]
        comment = "".join(f"{self.notation.comment} {line}\n" for line in lines)
        return comment + self.notation.write(self.changes(layout, {}).values)


@dataclass(frozen=True)
class SRTrainer:
    """A trainer, or another reader of exports.

    Attributes:
        title: the name of the trainer.
        formats: the formats that it reads correctly, the best one first.
        configuration: its configuration file; None for a dataset card.
        misreads: reasons against further formats, if it is not only the lack of a reader.
        many: the best format for very many pairs, if it differs from the first.
        required: the parts that a split must have.
        split_names: the permitted names of parts; empty for any names.
        forbidden: texts that paths must not contain.
    """

    title: str
    formats: tuple[str, ...]
    configuration: Configuration | None
    misreads: dict[str, str] = field(default_factory=dict)
    many: str | None = None
    required: tuple[str, ...] = ()
    split_names: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    @property
    def config_name(self) -> str:
        """The name of the file that is written beside the data."""
        return self.configuration.name if self.configuration else "README.md"

    def choose_format(self, format: str | None, samples: int) -> str:
        """The given format; for None the best one for a number of samples.

        Raises:
            ArgumentError: this trainer does not read the format correctly.
        """
        if format is None:
            return self.many if self.many and samples >= _MANY else self.formats[0]
        if format in self.formats:
            return format
        reason = self.misreads.get(format, f"it has no reader for {format}")
        expected = " or ".join(self.formats)
        raise ArgumentError("format", f"expected {expected} for {self.title}, found {format}: {reason}")

    def check_splits(self, names: tuple[str, ...]) -> None:
        """Refuse a split that this trainer cannot use.

        Raises:
            ArgumentError: there is no part ``train``, a required part is missing, or the trainer does not
                know the name of a part.
        """
        found = ", ".join(names) or "no split"
        if names and "train" not in names:
            raise ArgumentError("split", f"expected a part called train for {self.title}, found {found}")
        missing = [name for name in self.required if name not in names]
        if missing:
            raise ArgumentError(
                "split",
                f"expected parts called {' and '.join(self.required)} for {self.title}, which stops with an "
                f"error if there is no {missing[-1]}; found {found}",
            )
        unknown = [name for name in names if self.split_names and name not in self.split_names]
        if unknown:
            raise ArgumentError(
                "split",
                f"expected parts called {', '.join(self.split_names)} for {self.title}, found {unknown[0]!r}",
            )

    def text(self, layout: Layout, template: str | None) -> str:
        """The text of the configuration file, or of the dataset card.

        Raises:
            ArgumentError: the trainer cannot read the path of the export or has no configuration to fill in,
                or the template is not a configuration of this trainer.
        """
        for text in self.forbidden:
            if text in layout.root:
                raise ArgumentError(
                    "root", f"expected a path without {text!r} for {self.title}, found {layout.root}"
                )
        if self.configuration is not None:
            if displayed(layout.root) != layout.root:
                raise ArgumentError(
                    "root", f"expected a path in UTF-8 for the configuration, found {layout.root}"
                )
            return self.configuration.text(self.title, layout, template)
        if template is not None:
            raise ArgumentError(
                "template", f"expected none for {self.title}, which has no configuration file"
            )
        return dataset_card(layout)


def _check_template(values: Any, title: str) -> None:
    if not isinstance(values, Mapping) or not isinstance(values.get("datasets"), Mapping):
        raise ArgumentError("template", f"expected a configuration of {title}, found no 'datasets' in it")
    if not isinstance(values["datasets"].get("train"), Mapping):
        raise ArgumentError(
            "template", "expected a configuration for training, found no 'train' in its 'datasets'"
        )


# Parts of configurations


def _train(theirs: Values) -> Values:
    """The section of a template for the training data."""
    return theirs.get("datasets", {}).get("train", {})


def _others(theirs: Values, role: str) -> tuple[tuple[str, ...], ...]:
    """The sections of a template with data of a role: ``val``, ``val_1`` and so on."""
    return tuple(("datasets", name) for name in theirs.get("datasets", {}) if name.split("_")[0] == role)


def _batch(key: str, layout: Layout, theirs: Values) -> dict[str, int]:
    """The batch size, at most an epoch. These trainers drop the last incomplete batch of an epoch."""
    train = _train(theirs)
    epoch = layout.samples["train"] * _number(train.get("dataset_enlarge_ratio"), 1)
    return {key: min(_number(train.get(key), _BATCH), epoch)}


def _lr_size(key: str, in_hr_pixels: bool, layout: Layout, theirs: Values) -> int:
    """The side of a crop in LR pixels: the template's if it fits into patches, else the largest that fits.

    The side is a multiple of the window size of networks with windows.
    """
    largest = layout.patch_size // layout.scale
    size = _number(_train(theirs).get(key), 0)
    if in_hr_pixels:
        size //= _number(theirs.get("scale"), layout.scale)
    if 0 < size <= largest:
        return size
    window = _number(theirs.get("network_g", {}).get("window_size"), 1)
    return largest // window * window or largest


def _number(value: Any, default: int) -> int:
    """A positive number of a template, or the default if it has none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


def _unless_given(theirs: Values, **values: Any) -> dict[str, Any]:
    """The values that a template does not contain."""
    return {name: value for name, value in values.items() if name not in theirs}


def _network(layout: Layout, theirs: Values, section: str = "network_g") -> dict[str, Any]:
    """The scale of the network. BasicSR does not pass the scale of the data on to it.

    Raises:
        ArgumentError: the template has another scale, and no known setting of its network changes it.
    """
    network = theirs.get(section, {})
    names = [name for name in ("upscale", "scale") if name in network]
    if not names and network.get("type") == "RRDBNet":
        names = ["scale"]
    if names:
        return {section: dict.fromkeys(names, layout.scale)}
    if _number(theirs.get("scale"), layout.scale) != layout.scale:
        raise ArgumentError(
            "template",
            f"expected 'upscale' or 'scale' in {section}, to change it from {theirs['scale']} to "
            f"{layout.scale}, found neither",
        )
    return {}


def _niqe(layout: Layout, theirs: Values) -> tuple[tuple[str, ...], ...]:
    """The NIQE metrics of a template, if patches are too small for them.

    NIQE fits a Gaussian to blocks of a picture. With a single block it stops the training with an error.
    """
    metrics = (theirs.get("val") or {}).get("metrics") or {}
    found = [
        name
        for name, metric in metrics.items()
        if metric.get("type") == "calculate_niqe"
        and layout.patch_size - 2 * _number(metric.get("crop_border"), 0) < 2 * _NIQE_BLOCK
    ]
    return tuple(("val", "metrics", name) for name in found)


def _removed(layout: Layout, theirs: Values, conflicting: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Settings to remove from a template of BasicSR's kind: other validation data, and conflicts."""
    of_train = tuple(("datasets", "train", name) for name in conflicting)
    return _others(theirs, "val") + of_train + _niqe(layout, theirs)


def _validation(layout: Layout, theirs: Values) -> dict[str, Any]:
    """The validation section, which trainers of BasicSR's kind need besides the data."""
    return {"val": _VALIDATION} if "val" in layout.roles and not theirs.get("val") else {}


# Trainers


def _basicsr_files(layout: Layout, role: str) -> dict[str, Any]:
    ending = ".lmdb" if layout.format == "lmdb" else ""
    files = {
        "name": f"sdflow-{role}",
        "type": "PairedImageDataset",
        "dataroot_gt": layout.path(role, f"hr{ending}"),
        "dataroot_lq": layout.path(role, f"lr{ending}"),
    }
    if layout.format == "folder":
        files["meta_info_file"] = layout.path(role, "meta_info.txt")
    return files | {"io_backend": {"type": "lmdb" if ending else "disk"}}


def _basicsr(layout: Layout, theirs: Values) -> Changes:
    files = {role: _basicsr_files(layout, role) for role in layout.roles}
    train = files["train"] | {
        "gt_size": layout.scale * _lr_size("gt_size", True, layout, theirs),
        **_batch("batch_size_per_gpu", layout, theirs),
        **_unless_given(
            _train(theirs),
            use_hflip=True,
            use_rot=True,
            num_worker_per_gpu=_WORKERS,
            dataset_enlarge_ratio=1,
            prefetch_mode=None,
        ),
    }
    values = {
        "scale": layout.scale,
        "datasets": files | {"train": train},
        **_network(layout, theirs),
        **_validation(layout, theirs),
    }
    conflicting = ("filename_tmpl", "meta_info_file")
    return Changes(values, _removed(layout, theirs, conflicting))


def _realesrgan(layout: Layout, theirs: Values) -> Changes:
    changes = _basicsr(layout, theirs)
    train: dict[str, Any] = changes.values["datasets"]["train"]
    train["type"] = "RealESRGANPairedDataset"
    if layout.format == "folder":
        del train["meta_info_file"]
        root = layout.path("train")
        train |= {
            "dataroot_gt": root,
            "dataroot_lq": root,
            "meta_info": layout.path("train", "meta_info_realesrgan.txt"),
        }
    # Its models degrade HR pictures themselves by default.
    values = changes.values | {"high_order_degradation": False}
    return Changes(values, (*changes.removed, ("datasets", "train", "meta_info")))


def _trainner(layout: Layout, theirs: Values) -> Changes:
    files = {
        role: {
            "name": f"sdflow-{role}",
            "type": "pairedimagedataset",
            "dataroot_gt": [layout.path(role, "hr")],
            "dataroot_lq": [layout.path(role, "lr")],
            "io_backend": {"type": "disk"},
        }
        for role in layout.roles
    }
    return _redux(layout, theirs, files, conflicting=("filename_tmpl", "meta_info", "gt_size"))


def _unpairedsr(layout: Layout, theirs: Values) -> Changes:
    files: dict[str, dict[str, Any]] = {
        "train": {
            "name": "sdflow-train",
            "type": "unpairedimagedataset",
            "dataroot_lq": [layout.path("train", "lr")],
            "dataroot_ref": [layout.path("train", "hr")],
        }
    }
    if "val" in layout.roles:
        root = [layout.path("val", "lr")]
        files["val"] = {"name": "sdflow-val", "type": "singleimagedataset", "dataroot_lq": root}
    conflicting = ("filename_tmpl", "meta_info", "gt_size", "dataroot_gt")
    return _redux(layout, theirs, files, conflicting)


def _redux(
    layout: Layout, theirs: Values, files: dict[str, dict[str, Any]], conflicting: tuple[str, ...]
) -> Changes:
    """The common settings of traiNNer-redux and its derivatives, which repeat small datasets themselves."""
    train = _train(theirs)
    size = _lr_size("lq_size", False, layout, theirs)
    if "gt_size" in train:
        size = _lr_size("gt_size", True, layout, theirs)
    files["train"] |= {
        "lq_size": size,
        **_unless_given(
            train, use_hflip=True, use_rot=True, num_worker_per_gpu=_WORKERS, batch_size_per_gpu=_BATCH
        ),
    }
    values: dict[str, Any] = {"scale": layout.scale, "datasets": files}
    validates = "val" in layout.roles
    if theirs.get("val"):
        values["val"] = {"val_enabled": validates}  # validation without pairs stops with an error
    elif validates:
        values["val"] = {"val_enabled": True, **_VALIDATION}
    if "high_order_degradation" in theirs:
        values["high_order_degradation"] = False
    if "scale" in theirs.get("network_deg", {}):
        values["network_deg"] = {"scale": layout.scale}
    return Changes(values, _removed(layout, theirs, conflicting))


def _neosr(layout: Layout, theirs: Values) -> Changes:
    ending = ".lmdb" if layout.format == "lmdb" else ""
    files: dict[str, dict[str, Any]] = {
        role: {
            "name": f"sdflow-{role}",
            "type": "paired",
            "dataroot_gt": layout.path(role, f"hr{ending}"),
            "dataroot_lq": layout.path(role, f"lr{ending}"),
            **({"io_backend": {"type": "lmdb"}} if ending else {}),
        }
        for role in layout.roles
    }
    files["train"] |= {
        "patch_size": _lr_size("patch_size", False, layout, theirs),
        **_batch("batch_size", layout, theirs),
    }
    values = {"scale": layout.scale, "datasets": files, **_validation(layout, theirs)}
    conflicting = ("filename_tmpl", "meta_info", "gt_size", "io_backend")
    return Changes(values, _removed(layout, theirs, conflicting))


def _kair(layout: Layout, theirs: Values) -> Changes:
    sections = {"train": "train", "val": "test"}
    datasets: dict[str, dict[str, Any]] = {
        sections[role]: {
            "name": f"sdflow-{role}",
            "dataset_type": "sr",
            "dataroot_H": layout.path(role, "hr"),
            "dataroot_L": layout.path(role, "lr"),
        }
        for role in layout.roles
    }
    datasets["train"] |= {
        "H_size": layout.scale * _lr_size("H_size", True, layout, theirs),
        **_batch("dataloader_batch_size", layout, theirs),
        **_unless_given(_train(theirs), dataloader_shuffle=True, dataloader_num_workers=_WORKERS),
    }
    values = {"scale": layout.scale, "n_channels": 3, "datasets": datasets}
    if "upscale" in theirs.get("netG", {}):  # KAIR passes the scale on to other networks itself
        values["netG"] = {"upscale": layout.scale}
    return Changes(values, _others(theirs, "test"))


TRAINERS = {
    "basicsr": SRTrainer(
        title="BasicSR",
        formats=("folder", "lmdb"),
        configuration=Configuration(
            "basicsr.yml", YAML(), _basicsr, "options/train/SRResNet_SRGAN/train_MSRResNet_x4.yml"
        ),
    ),
    "realesrgan": SRTrainer(
        title="Real-ESRGAN",
        formats=("folder", "lmdb"),
        configuration=Configuration(
            "realesrgan.yml", YAML(), _realesrgan, "options/finetune_realesrgan_x4plus_pairdata.yml"
        ),
    ),
    "hat": SRTrainer(
        title="HAT",
        formats=("folder", "lmdb"),
        configuration=Configuration(
            "hat.yml", YAML(), _basicsr, "options/train/train_HAT_SRx2_from_scratch.yml"
        ),
    ),
    "trainner": SRTrainer(
        title="traiNNer-redux",
        formats=("folder",),
        configuration=Configuration(
            "trainner.yml", YAML(), _trainner, "options/_templates/train/Compact/Compact_fidelity.yml"
        ),
        misreads={"lmdb": "its reader of paired LMDB is broken"},
    ),
    "unpairedsr": SRTrainer(
        title="traiNNer-redux_UnpairedSR",
        formats=("folder",),
        configuration=Configuration("unpairedsr.yml", YAML(), _unpairedsr, "options/blind_pdm/train.yml"),
        misreads={"lmdb": "it lists picture files and would find none"},
    ),
    "neosr": SRTrainer(
        title="neosr",
        formats=("folder", "lmdb"),
        configuration=Configuration("neosr.toml", TOML(), _neosr, "options/train_compact.toml"),
        many="lmdb",
    ),
    "kair": SRTrainer(
        title="KAIR",
        formats=("folder",),
        configuration=Configuration(
            "kair.json", CommentedJSON(), _kair, "options/swinir/train_swinir_sr_classical.json"
        ),
        misreads={"lmdb": "its reader of pairs lists picture files and would find none"},
        required=("train", "val"),
        forbidden=("//",),
    ),
    "huggingface": SRTrainer(
        title="Hugging Face datasets",
        formats=("parquet", "folder", "webdataset"),
        configuration=None,
        misreads={"hdf5": "it takes every array in a file for a column of one table"},
        split_names=("train", "val", "test"),
        forbidden=("[", "]", "*", "?"),
    ),
}
