"""`bibleqa data …`: building the corpus store and the datasets, and looking at them."""

import argparse
import dataclasses
import json
import time
from pathlib import Path

from rich.console import Console

from bibleqa import config
from bibleqa.data.item import Item
from bibleqa.errors import ConfigError
from bibleqa.schema import Config, TheologicalConfig

# What the commands do is imported where it is done: the readers and the text take seconds, and `--help` should not.

_SPLITS = ("train", "val", "test", "anchors")
_REJECTS_SHOWN = 3


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `data` and its commands."""
    data = commands.add_parser("data", help="build the corpus and the datasets, and look at them")
    own = data.add_subparsers(dest="data_command", required=True, metavar="command")

    build = own.add_parser("build", help="bring the corpus store up to date, and build a dataset")
    build.set_defaults(run=_build)

    fetch = own.add_parser("fetch", help="download a source of the corpus")
    fetch.add_argument("source", choices=tuple(_FETCH), help="which")
    fetch.set_defaults(run=_fetch)

    stats = own.add_parser("stats", help="families, splits, answers, duplicates, leakage of a dataset")
    stats.add_argument("--picture", type=Path, metavar="FILE.png", help="draw families by splits")
    stats.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    stats.set_defaults(run=_stats)

    sample = own.add_parser("sample", help="show some questions of a dataset")
    sample.add_argument("--type", help="question family (default: all)")
    sample.add_argument("--split", choices=_SPLITS, default="test", help="default: test")
    sample.add_argument("-n", type=int, default=5, help="how many (default: 5)")
    sample.add_argument("--seed", type=int, default=0, help="another seed shows others (default: 0)")
    sample.set_defaults(run=_sample)

    check = own.add_parser("check", help="look over your own JSONL files; several are taken as splits of one dataset")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE")
    check.set_defaults(run=_check)

    terms = own.add_parser("terms", help="how often each critical term stands in each source")
    terms.add_argument("--books", action="store_true", help="the counts of all books")
    terms.set_defaults(run=_terms)

    for parser in (build, fetch, stats, sample, terms):
        parser.add_argument(
            "overrides", nargs="*", metavar="key=value", help="as for run.py, for instance dataset=strongs"
        )


def run(arguments: argparse.Namespace, out: Console) -> int:
    """Run the command that was parsed; returns its exit code."""
    code: int = arguments.run(arguments, out)
    return code


def _build(arguments: argparse.Namespace, out: Console) -> int:
    from bibleqa.data import sources
    from bibleqa.data.card import CARD
    from bibleqa.data.reader import read_items
    from bibleqa.data.store import Report

    settings = config.compose(arguments.overrides)
    begun = time.perf_counter()
    reports = 0

    def tell(report: Report) -> None:
        nonlocal begun, reports
        now = time.perf_counter()
        out.print(
            f"{report.name}: {report.records:,} records, {len(report.rejects):,} rejects, {now - begun:.1f} s",
            markup=False,
        )
        for reject in report.rejects[:_REJECTS_SHOWN]:
            out.print(f"  {reject.file}:{reject.line}: {reject.reason}", markup=False)
        if len(report.rejects) > _REJECTS_SHOWN:
            out.print(f"  and {len(report.rejects) - _REJECTS_SHOWN:,} more")
        begun, reports = now, reports + 1

    store = sources.ensure_store(settings.corpus, tell)
    out.print(f"corpus {'built' if reports else 'up to date'}: {store}", markup=False)
    begun = time.perf_counter()
    files = _files(settings)
    counts = ", ".join(f"{sum(1 for _ in read_items(path)):,} {split}" for split, path in files.items())
    out.print(f"dataset {settings.dataset.name}: {counts}, {time.perf_counter() - begun:.1f} s", markup=False)
    card = files["test"].with_name(CARD)
    if card.is_file():  # the user's own files have none
        out.print(f"read about it in {card}", markup=False)
    return 0


def _fetch(arguments: argparse.Namespace, out: Console) -> int:
    return _FETCH[arguments.source](config.compose(arguments.overrides), out)


def _fetch_sword(settings: Config, out: Console) -> int:
    from bibleqa.data.corpora import debian, sword

    path = settings.corpus.sword_path
    folder = debian.fetch_sword(Path(path) if path else sword.cache_folder())
    out.print(f"SWORD modules are in {folder}; now: bibleqa data build", markup=False)
    return 0


def _fetch_stepbible(settings: Config, out: Console) -> int:
    from bibleqa import artifacts
    from bibleqa.data.corpora import stepbible

    path = settings.corpus.stepbible_path
    folder = stepbible.fetch(Path(path) if path else artifacts.cache_folder() / "stepbible").absolute()
    out.print(
        f"STEPBible's files are in {folder}; now: bibleqa data build corpus.stepbible_path={folder}", markup=False
    )
    return 0


_FETCH = {"sword": _fetch_sword, "stepbible": _fetch_stepbible}


def _stats(arguments: argparse.Namespace, out: Console) -> int:
    from bibleqa.data import stats

    picture: Path | None = arguments.picture
    if picture and picture.suffix.lower() != ".png":
        raise ConfigError(f"--picture {picture}: the picture is a PNG; give a name that ends in .png")
    settings = config.compose(arguments.overrides)
    measured = stats.measure(_items(settings))
    stats.show(measured, out)
    if arguments.json:
        text = json.dumps(dataclasses.asdict(measured), indent=2, ensure_ascii=False)
        arguments.json.write_text(text + "\n", encoding="utf-8", newline="\n")
    if picture:
        stats.picture(measured, settings.dataset.name, picture)
    return 0


def _sample(arguments: argparse.Namespace, out: Console) -> int:
    import random

    from bibleqa.data.show import as_text

    splits = _items(config.compose(arguments.overrides))
    if arguments.n < 1:
        raise ConfigError(f"-n {arguments.n}: must be 1 or more")
    if arguments.split not in splits:
        raise ConfigError(f"--split {arguments.split}: this dataset has {', '.join(splits)}")
    items = splits[arguments.split]
    if arguments.type:
        families = sorted({item.type for item in items})
        items = [item for item in items if item.type == arguments.type]
        if not items:
            raise ConfigError(f"--type {arguments.type}: {arguments.split} has {', '.join(families) or 'nothing'}")
    for item in random.Random(arguments.seed).sample(items, min(arguments.n, len(items))):
        out.print(", ".join(filter(None, [item.type, item.reference, item.id])), style="bold", markup=False)
        out.print(as_text(item) + "\n", markup=False)
    return 0


def _check(arguments: argparse.Namespace, out: Console) -> int:
    from bibleqa.data import check

    files = check.check(arguments.files)
    check.show(files, out)
    return int(any(file.problems for file in files))


def _terms(arguments: argparse.Namespace, out: Console) -> int:
    from bibleqa.data import sources, terms
    from bibleqa.data.corpus import Corpus

    metric = config.compose(arguments.overrides).metric
    if not isinstance(metric, TheologicalConfig):
        raise ConfigError(f"metric={metric.name}: it has no critical terms; metric=theological has")
    corpus = Corpus(sources.store_path())
    counts = terms.count(corpus, {name: term.strongs for name, term in metric.terms.items()})
    terms.show(corpus, counts, out, all_books=arguments.books)
    missed = [count for count in counts if count.missed]
    for one in missed:
        total = f"{one.by_book.total():,} times in {one.source}, and should {one.minimum:,} times or more"
        out.print(f"{one.name} ({one.number}) stands {total}")
    return int(bool(missed))


def _items(settings: Config) -> dict[str, list[Item]]:
    """The whole dataset that a config chooses, by split; built first where it is not there yet."""
    from bibleqa.data.reader import read_items

    return {split: list(read_items(path)) for split, path in _files(settings).items()}


def _files(settings: Config) -> dict[str, Path]:
    from bibleqa.data import slices

    return slices.files(settings.dataset, settings.corpus)
