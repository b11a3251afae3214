"""Building the `kjv` dataset from the installed text: once, deterministically, in seconds."""

import hashlib
import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock

from bibleqa.data.item import Item
from bibleqa.data.kjv import PACKAGE, Bible, context_of, kjv
from bibleqa.data.questions import FAMILIES
from bibleqa.data.reader import numbered_items
from bibleqa.data.splits import Splits, chapter_groups, shingles_of, split_items
from bibleqa.errors import ConfigError
from bibleqa.text import contains

ANCHORS = Path(__file__).resolve().parents[2] / "data" / "anchors" / "anchors.jsonl"
BUILD_VERSION = 2
"""Goes up with every change that changes what is built, so that datasets on disk are built again."""

_SEED = 7
_LABELS = re.compile(r"^\[[^\[\]]+\]", re.MULTILINE)
_MANIFEST = "manifest.json"


def ensure_built(folder: Path, anchors: Path = ANCHORS) -> Path:
    """The folder of the `kjv` dataset: train.jsonl, val.jsonl, test.jsonl, anchors.jsonl and manifest.json.

    It is built where it is missing, or where the build version, the text or the anchors have changed; until the
    new one is complete the old one stays as it is.

    Args:
        folder: Where datasets live (`data/processed`); the dataset is its subfolder `kjv`.
        anchors: The hand-written questions.

    Raises:
        ConfigError: The anchors are malformed (file and line are named), or the folder cannot be written.
    """
    target = folder / "kjv"
    sources = {
        "build_version": BUILD_VERSION,
        "kjv": f"{PACKAGE} {version(PACKAGE)}",
        "anchors": _digest(anchors),
    }
    if _sources_of(target) == sources:
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".kjv.lock"):
            if _sources_of(target) != sources:
                for left_by_an_interrupted_build in folder.glob(".kjv-*"):
                    shutil.rmtree(left_by_an_interrupted_build)
                _build(target, sources, anchors)
    except OSError as error:
        raise ConfigError(f"cannot write the dataset to {target}: {error.strerror or error}") from error
    return target


def anchors_of(path: Path, bible: Bible) -> list[Item]:
    """The hand-written questions, those that are open-book with the text of their reference as context.

    Raises:
        ConfigError: A line is malformed, its reference does not exist, or its answer does not stand in its
            passage; file and line are named.
    """
    items = []
    for number, item in numbered_items(path):
        try:
            items.append(_anchor(item, bible))
        except ConfigError as error:
            raise ConfigError(f"{path}:{number}: {error}") from None
    return items


def answer_stands(item: Item) -> bool:
    """Whether the answer, or an accepted variant, can be read from context and history.

    The labels of the verses do not count: the `5` of `[Genesis 5:6]` answers nothing.
    """
    text = _LABELS.sub("", item.context)
    given = "\n".join([text, *(text for turn in item.history for text in (turn.question, turn.answer))])
    return any(contains(given, answer) for answer in item.accepted)


def _anchor(item: Item, bible: Bible) -> Item:
    if not item.id.startswith("anchor:"):
        raise ConfigError('the id of a hand-written question starts with "anchor:"')
    passage = bible.passage(item.reference)
    if not item.open_book:
        return item
    if not item.context:
        item = replace(item, context=context_of(passage))
    if not answer_stands(item):
        raise ConfigError(f'neither the answer "{item.answer}" nor a variant stands in {item.reference}')
    return item


def _build(target: Path, sources: dict[str, Any], anchors: Path) -> None:
    bible = kjv()
    hand_written = anchors_of(anchors, bible)
    items = list(_generated(bible))
    verses = {item.id: {v.id for v in bible.cited(item.context) or bible.passage(item.reference)} for item in items}
    groups = chapter_groups({c: [v.text for v in vs] for c, vs in bible.chapters.items()})
    tested = {verse.id for anchor in hand_written for verse in bible.passage(anchor.reference)}
    told = {shingle for anchor in hand_written for shingle in shingles_of(anchor)}

    def near_an_anchor(item: Item) -> bool:
        return bool(verses[item.id] & tested or shingles_of(item) & told)

    splits = split_items(items, lambda item: groups[min(verses[item.id]) // 1000], _SEED, near_an_anchor)
    _write(target, sources, splits, hand_written)


def _generated(bible: Bible) -> Iterator[Item]:
    for family in FAMILIES:
        for item in family.questions(bible):
            if item.open_book and not answer_stands(item):
                raise AssertionError(f"{item.id}: the answer {item.answer!r} does not follow from the context")
            yield item


def _write(target: Path, sources: dict[str, Any], splits: Splits, anchors: list[Item]) -> None:
    """Write into a temporary sibling and put it in the place of the old dataset."""
    fresh = Path(tempfile.mkdtemp(prefix=".kjv-", dir=target.parent))
    try:
        files = {}
        for name, items in {**splits.items, "anchors": anchors}.items():
            content = "".join(item.to_json() + "\n" for item in items).encode()
            (fresh / f"{name}.jsonl").write_bytes(content)
            files[f"{name}.jsonl"] = hashlib.sha256(content).hexdigest()
        manifest = {
            "sources": sources,
            "seed": _SEED,
            "counts": {
                name: dict(sorted(Counter(item.type for item in items).items()))
                for name, items in {**splits.items, "anchors": anchors}.items()
            },
            "dropped": splits.dropped,
            "sha256": files,
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        (fresh / _MANIFEST).write_text(text, encoding="utf-8", newline="\n")
        fresh.chmod(0o755)
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=".kjv-old-", dir=target.parent))
            target.rename(old / "kjv")
            fresh.rename(target)
            shutil.rmtree(old)
        else:
            fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _sources_of(target: Path) -> object:
    """What the dataset on disk was built from; None if there is no complete one."""
    try:
        manifest = json.loads((target / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    complete = isinstance(manifest, dict) and all((target / name).is_file() for name in manifest.get("sha256", ()))
    return manifest.get("sources") if complete else None


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"cannot read the hand-written questions in {path}: {error.strerror}") from None
