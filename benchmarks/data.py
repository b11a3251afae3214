"""How fast the corpus store and the datasets are built, from nothing: rows a second.

    python benchmarks/data.py

Sources that are not on this machine (SWORD modules: `bibleqa data fetch sword`) are left out, and so are the datasets
that need them. Seconds are the processor's, of one process.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from figures import Figure, show

from bibleqa import config
from bibleqa.data import reader, slices, sources
from bibleqa.data.store import Report
from bibleqa.errors import ConfigError

DATASETS = ("kjv", "strongs", "multi_turn", "mixed")
Made = TypeVar("Made")


def main() -> None:
    """In a project folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BIBLEQA_PROJECT"] = folder
        figures = corpus()
        for name in DATASETS:
            try:
                figures.append(dataset(name))
            except ConfigError as error:
                print(f"{name}: {error}")
        show(__file__, figures)


def corpus() -> list[Figure]:
    """The store, source by source."""
    figures: list[Figure] = []
    begun = time.process_time()

    def tell(report: Report) -> None:
        nonlocal begun
        seconds, begun = time.process_time() - begun, time.process_time()
        figures.append(rate(report.name, report.records, seconds))

    _, whole = timed(lambda: sources.ensure_store(config.compose().corpus, tell))
    again, seconds = timed(lambda: sources.ensure_store(config.compose().corpus))
    size = again.stat().st_size / 1e6
    figures.append(Figure("the whole store", whole, "s", f"{size:.0f} MB; {seconds:.2f} s to see that it is there"))
    return figures


def dataset(name: str) -> Figure:
    """One dataset, the store being there."""
    asked = config.compose([f"dataset={name}"])
    files, seconds = timed(lambda: slices.files(asked.dataset, asked.corpus))
    items, reading = timed(lambda: sum(1 for path in files.values() for _ in reader.read_items(Path(path))))
    return rate(f"dataset={name}", items, seconds, f", read in {reading:.2f} s")


def timed(make: Callable[[], Made]) -> tuple[Made, float]:
    """What is made, and the seconds of processor that it takes."""
    begun = time.process_time()
    return make(), time.process_time() - begun


def rate(name: str, rows: int, seconds: float, more: str = "") -> Figure:
    """Rows a second."""
    return Figure(name, rows / seconds, "rows/s", f"{rows:,} rows in {seconds:.1f} s{more}")


if __name__ == "__main__":
    main()
