"""The dataset of what people said of answers: `bibleqa.feedback` keeps it, and here it becomes train and val."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from bibleqa import paths, provenance, runs
from bibleqa.data.item import Item
from bibleqa.data.leakage import asked
from bibleqa.data.reader import read_items
from bibleqa.data.splits import shingles_of
from bibleqa.errors import ConfigError

_VAL = 0.2
"""Share of the questions."""


def file() -> Path:
    """Where the questions are that people's feedback has answered."""
    return paths.project() / "data" / "feedback" / "feedback.jsonl"


def split(processed: Path, test: Path, minimum: int) -> dict[str, Path]:
    """The JSONL files of the dataset, by split.

    Those of earlier feedback stay: what was said may be corrected in place, and then they alone have the questions that
    a finished run was made with. `dataset=jsonl` takes them.

    Args:
        processed: Where train and val are written, in a folder of their own for each state of feedback and test.
        test: The questions to report on; what is near one of them is in no other split.
        minimum: Questions that are needed beside those.

    Raises:
        ConfigError: There is too little feedback, or a file is malformed.
    """
    given = list(read_items(file())) if file().is_file() else []
    tested = list(read_items(test))
    known = _Near(tested)
    apart = [item for item in given if item not in known]
    train, val = _split(apart)
    if len(apart) < minimum or not train or not val:
        near = f", {len(given) - len(apart)} of them near the test" if len(apart) < len(given) else ""
        raise ConfigError(
            f"dataset=feedback: {len(given)} items of feedback so far{near}; {minimum} are needed"
            f"{' on two chapters or more' if len(apart) >= minimum else ''} ({file()})"
        )
    digest = provenance.digest_lines(item.to_json() for item in [*given, *tested])
    folder = processed / f"feedback-{digest[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    files = {"train": train, "val": val}
    for name, items in files.items():
        runs.write_atomically(folder / f"{name}.jsonl", "".join(f"{item.to_json()}\n" for item in items))
    return {**{name: folder / f"{name}.jsonl" for name in files}, "test": test}


class _Near:
    """Whether a question is one of some others, or has ten words in a row in common with one."""

    def __init__(self, items: Iterable[Item]):
        items = list(items)
        self._asked = {asked(item) for item in items}
        self._shingles = {shingle for item in items for shingle in shingles_of(item)}

    def __contains__(self, item: Item) -> bool:
        return asked(item) in self._asked or not self._shingles.isdisjoint(shingles_of(item))


def _split(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Train and val: by chapter, in an order that depends on nothing but the chapters' names."""
    chapters: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        chapters[item.reference.partition(":")[0] or item.question].append(item)
    order = sorted(chapters, key=lambda name: hashlib.sha256(name.encode()).digest())
    train: list[Item] = []
    val: list[Item] = []
    for name in order:
        (val if len(val) < _VAL * len(items) else train).extend(chapters[name])
    known = _Near(train)
    return train, [item for item in val if item not in known]
