"""Reading a dataset file: one question a line, as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from bibleqa.data.item import Item
from bibleqa.errors import ConfigError

_BOM = b"\xef\xbb\xbf"


def read_items(path: Path) -> Iterator[Item]:
    """The questions of a JSONL file, in its order. A byte order mark, CRLF and empty lines make no difference.

    Raises:
        ConfigError: The file cannot be read, or a line is malformed or repeats an id; the message leads with
            `file:line` and says how many good lines came before.
    """
    return (item for _, item in numbered_items(path))


def numbered_items(path: Path) -> Iterator[tuple[int, Item]]:
    """`read_items`, each with the number of its line."""
    return ((number, item) for number, _, item in _lines(path))


def placed_items(path: Path) -> Iterator[tuple[int, Item]]:
    """`read_items`, each with the place in the file by which `Filed` finds it again."""
    return ((place, item) for _, place, item in _lines(path))


@dataclass(frozen=True)
class Filed(Sequence[Item]):
    """Questions that stay in their file until they are asked for."""

    path: Path
    places: Sequence[int]
    """Of `placed_items`, in the order of the questions."""

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> "Filed": ...
    def __getitem__(self, index: int | slice) -> "Item | Filed":
        if isinstance(index, slice):
            return Filed(self.path, self.places[index])
        return next(iter(Filed(self.path, [self.places[index]])))

    def __iter__(self) -> Iterator[Item]:
        with self.path.open("rb") as file:
            for place in self.places:
                file.seek(place)
                yield Item.from_json(file.readline().decode())


def _lines(path: Path) -> Iterator[tuple[int, int, Item]]:
    """The questions, each with the number of its line and its place."""
    seen: dict[str, int] = {}
    end = 0
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                end += len(raw)
                if number == 1:
                    raw = raw.removeprefix(_BOM)
                place = end - len(raw)
                if not raw.strip():
                    continue
                try:
                    item = _item(raw, seen)
                except ConfigError as error:
                    raise ConfigError(f"{path}:{number}: {error} ({len(seen)} good lines before it)") from None
                seen[item.id] = number
                yield number, place, item
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None


def _item(raw: bytes, seen: dict[str, int]) -> Item:
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 at byte {error.start + 1}; save the file as UTF-8") from None
    item = Item.from_json(line)
    if item.id in seen:
        raise ConfigError(f'id "{item.id}" stands already in line {seen[item.id]}')
    return item
