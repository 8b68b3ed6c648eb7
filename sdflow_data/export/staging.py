"""The staging folder of an export, hidden in the output folder until the export is complete."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from sdflow.files import read_json, to_json, write_file

from ..system.lock import check_new_or_empty
from ..system.settings import check_same

MARKER = "export.json"
"""A file with the settings of the export. It is written last, so its presence shows a complete export."""

_PARTIAL = ".partial"


@dataclass(frozen=True)
class Staging:
    """The staging folder of an export. It is pickled for worker processes.

    Attributes:
        out: the output folder of the export.
    """

    out: Path

    def folder(self, split: str) -> Path:
        """The folder for the files of a part of the split, in their final arrangement."""
        return self._made("out") / split

    def scratch(self) -> Path:
        """A folder for temporary files, which are not part of the finished export."""
        return self._made("scratch")

    def is_done(self, number: int) -> bool:
        """Whether part ``number`` was written by this run or an earlier one."""
        return self._done(number).exists()

    def mark_done(self, number: int) -> None:
        """Mark part ``number`` as written. All its files must be on disk."""
        write_file(self._done(number), b"")

    def is_finished(self) -> bool:
        """Whether the export is complete, in `folder` or already moved out of it."""
        return self._finished().exists()

    def mark_finished(self) -> None:
        """Mark the export in `folder` as complete."""
        write_file(self._finished(), b"")

    def publish(self, settings: dict[str, object]) -> None:
        """Move everything to the output folder, the marker last, and remove the staging folder."""
        for entry in sorted(self.folder("").iterdir()):
            entry.rename(self.out / entry.name)
        write_file(self.out / MARKER, to_json(settings))
        shutil.rmtree(self.out / _PARTIAL)

    def _made(self, name: str) -> Path:
        folder = self.out / _PARTIAL / name
        folder.mkdir(exist_ok=True)
        return folder

    def _done(self, number: int) -> Path:
        return self._made("done") / f"{number:06d}"

    def _finished(self) -> Path:
        return self.out / _PARTIAL / "finished"


def open_staging(out: Path, settings: dict[str, object]) -> Staging | None:
    """Start an export into ``out``, or continue an interrupted one.

    Args:
        out: an empty folder, or an export with the same settings.
        settings: all settings of the export, as JSON values.

    Returns:
        The staging folder, or None if the export is complete already.

    Raises:
        SDFlowError: the folder contains anything else.
    """
    if (out / MARKER).is_file():
        _check_settings(out, out / MARKER, settings)
        shutil.rmtree(out / _PARTIAL, ignore_errors=True)
        return None
    begun = out / _PARTIAL / "settings.json"
    if begun.is_file():
        _check_settings(out, begun, settings)
        return Staging(out)
    check_new_or_empty(out, [_PARTIAL])
    begun.parent.mkdir(exist_ok=True)
    write_file(begun, to_json(settings))
    return Staging(out)


def _check_settings(out: Path, marker: Path, settings: dict[str, object]) -> None:
    check_same(out, read_json(marker, "the settings of an export"), settings)
