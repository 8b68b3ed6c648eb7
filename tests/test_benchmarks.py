"""Benchmarks write their results as JSON that says of what code and what machine they are."""

import json
import sys
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> click.Command:
    """A benchmark of one row."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(sys, "argv", ["benchmarks/speed.py"])
    from results import json_option, record

    @click.command()
    @click.option("--repeats", default=3)
    @json_option
    def main(repeats: int) -> None:
        record({"table": pd.DataFrame({"a": [1.5]}), "seconds": np.float32(0.5)})

    return main


def test_the_file_holds_results_settings_commit_and_machine(benchmark: click.Command, tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    assert CliRunner().invoke(benchmark, ["--repeats", "2", "--json", str(out)]).exit_code == 0
    told = json.loads(out.read_text())
    assert told["results"] == {"table": {"a": {"0": 1.5}}, "seconds": 0.5}
    assert (told["benchmark"], told["settings"]) == ("speed", {"repeats": 2})
    assert told["machine"]["cores"] >= 1
    assert told["machine"]["memory_bytes"] > 2**28
    assert "commit" in told


def test_without_the_option_no_file_is_written(benchmark: click.Command, tmp_path: Path) -> None:
    with CliRunner().isolated_filesystem(tmp_path):
        assert CliRunner().invoke(benchmark, []).exit_code == 0
        assert not list(Path().iterdir())


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_that_prints_a_table_offers_json(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    if "|---" in source:
        assert "@json_option" in source
        assert "    record(" in source
