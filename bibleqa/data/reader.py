"""Reading a dataset file: one question a line, as JSON."""

from collections.abc import Iterator
from pathlib import Path

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
    seen: dict[str, int] = {}
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if number == 1:
                    raw = raw.removeprefix(_BOM)
                if not raw.strip():
                    continue
                try:
                    item = _item(raw, seen)
                except ConfigError as error:
                    raise ConfigError(f"{path}:{number}: {error} ({len(seen)} good lines before it)") from None
                seen[item.id] = number
                yield number, item
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
