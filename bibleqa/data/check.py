"""Looking over a user's own questions before a run is spent on them."""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bibleqa.data.build import answer_stands
from bibleqa.data.item import Item
from bibleqa.data.leakage import asked
from bibleqa.data.splits import SHINGLE_WORDS, shingles_of
from bibleqa.errors import ConfigError
from bibleqa.text import contains, words

KINDS = ("malformed", "empty answer", "not in context", "given away", "twice", "leaks")
"""What may be wrong with a line."""

_SHOWN = 20


@dataclass(frozen=True)
class Problem:
    """Something wrong with a line of a file."""

    line: int
    kind: str
    text: str


@dataclass(frozen=True)
class Checked:
    """A file, its good lines and what is wrong with it."""

    path: Path
    items: list[tuple[int, Item]]
    problems: list[Problem]


def check(paths: Sequence[Path]) -> list[Checked]:
    """Check files one by one, and each against those before it.

    Raises:
        ConfigError: A file cannot be read.
    """
    files = [_read(path) for path in paths]
    seen = _Seen()
    for number, file in enumerate(files):
        for line, item in file.items:
            file.problems.extend(Problem(line, kind, text) for kind, text in _alone(item))
            if found := seen.find(item):
                what, place = found
                kind = "twice" if place.file == number else "leaks"
                file.problems.append(Problem(line, kind, f"{what} in {paths[place.file]}:{place.line} too"))
            seen.add(item, _Place(number, line))
        seen.add_words(file.items, number)
        file.problems.sort(key=lambda problem: problem.line)
    return files


def show(files: Sequence[Checked], out: Console) -> None:
    """Print the problems, the first ones of each file, and how many there are of each kind."""
    for file in files:
        for problem in file.problems[:_SHOWN]:
            out.print(f"{file.path}:{problem.line}: {problem.kind}: {problem.text}", markup=False)
        if len(file.problems) > _SHOWN:
            out.print(f"{file.path}: and {len(file.problems) - _SHOWN} problems more", markup=False)
    table = Table("")
    for file in files:
        table.add_column(escape(file.path.name), justify="right")
    table.add_row("questions", *(f"{len(file.items):,}" for file in files))
    for kind in KINDS:
        table.add_row(kind, *(f"{sum(problem.kind == kind for problem in file.problems):,}" for file in files))
    out.print(table)


def _read(path: Path) -> Checked:
    file = Checked(path, [], [])
    try:
        content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    for number, raw in enumerate(content.split(b"\n"), start=1):
        if raw.strip():
            try:
                file.items.append((number, Item.from_json(raw.decode("utf-8"))))
            except UnicodeDecodeError as error:
                file.problems.append(Problem(number, "malformed", f"not UTF-8 at byte {error.start + 1}"))
            except ConfigError as error:
                file.problems.append(Problem(number, "malformed", str(error)))
    if not file.items and not file.problems:
        file.problems.append(Problem(1, "malformed", "there is no question in this file"))
    return file


def _alone(item: Item) -> Iterator[tuple[str, str]]:
    """What is wrong with a question by itself: kind and text."""
    if not words(item.answer):
        yield "empty answer", f"the answer {item.answer!r} has no word that an answer could be compared by"
        return
    if item.open_book and not answer_stands(item):
        yield (
            "not in context",
            f"neither {item.answer!r} nor a variant stands in context or history (closed-book? "
            '"open_book": false in its metadata)',
        )
    for answer in item.accepted:
        if contains(item.question, answer):
            yield "given away", f"the question itself has the answer {answer!r}"
            return


class _Place(NamedTuple):
    """A line of a file, the files by their place on the command line."""

    file: int
    line: int


@dataclass
class _Seen:
    """Where things stood first."""

    ids: dict[str, _Place] = field(default_factory=dict)
    questions: dict[tuple[str, ...], _Place] = field(default_factory=dict)
    shingles: dict[int, _Place] = field(default_factory=dict)

    def find(self, item: Item) -> tuple[str, _Place] | None:
        """What of a question stood before, and where; the plainest of several."""
        if place := self.ids.get(item.id):
            return f'the id "{item.id}" stands', place
        if place := self.questions.get(asked(item)):
            return "the same question on the same context stands", place
        if places := [self.shingles[shingle] for shingle in shingles_of(item) if shingle in self.shingles]:
            return f"{SHINGLE_WORDS} words in a row stand", min(places)
        return None

    def add(self, item: Item, place: _Place) -> None:
        """Note a question. Its words are noted with the whole file, which may well have passages in common."""
        self.ids.setdefault(item.id, place)
        self.questions.setdefault(asked(item), place)

    def add_words(self, items: Iterable[tuple[int, Item]], file: int) -> None:
        """Note the words of a file."""
        for line, item in items:
            for shingle in shingles_of(item):
                self.shingles.setdefault(shingle, _Place(file, line))
