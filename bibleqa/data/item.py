"""A question with its answer: the row of a dataset file."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from bibleqa.errors import ConfigError


@dataclass(frozen=True)
class Turn:
    """An earlier question of the same conversation, and its answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class Item:
    """One question of a dataset.

    Attributes:
        id: Unique in its dataset and stable between builds.
        context: The text that the answer follows from, each verse led by its reference in brackets; empty for
            a closed-book question.
        question: What is asked.
        answer: The reference answer, as short as it can be.
        history: Earlier turns of the conversation, oldest first.
        type: The question family.
        reference: Where the question comes from, as people write it (`Genesis 5:6`).
        strongs_id: The Strong's number that it is about (`H430`), or empty.
        open_book: Whether the answer follows from context and history.
        variants: Other answers that are as right as `answer`.
    """

    id: str
    context: str
    question: str
    answer: str
    history: tuple[Turn, ...] = ()
    type: str = "unknown"
    reference: str = ""
    strongs_id: str = ""
    open_book: bool = True
    variants: tuple[str, ...] = field(default=())

    @property
    def accepted(self) -> tuple[str, ...]:
        """Every right answer, the reference answer first."""
        return (self.answer, *self.variants)

    def to_json(self) -> str:
        """The item as one line of JSON, the same bytes everywhere."""
        row = {
            "id": self.id,
            "context": self.context,
            "question": self.question,
            "answer": self.answer,
            "history": [asdict(turn) for turn in self.history],
            "metadata": {
                "type": self.type,
                "reference": self.reference,
                "strongs_id": self.strongs_id,
                "open_book": self.open_book,
                "variants": list(self.variants),
            },
        }
        return json.dumps(row, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read one line of a dataset file.

        Raises:
            ConfigError: It is not a question; the message says why, the caller knows file and line.
        """
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ConfigError(f"not JSON: {error.msg} at column {error.colno}") from None
        if not isinstance(row, dict):
            raise ConfigError(f"expected an object, found {type(row).__name__}")
        _no_other_keys(row, {"id", "context", "question", "answer", "history", "metadata"}, "")
        metadata = _get(row, "metadata", dict, {})
        _no_other_keys(metadata, {"type", "reference", "strongs_id", "open_book", "variants"}, "metadata.")
        history = []
        for turn in _get(row, "history", list, []):
            if not isinstance(turn, dict):
                raise ConfigError('"history" is a list of {"question", "answer"}')
            history.append(Turn(_text(turn, "question"), _text(turn, "answer")))
        variants = _get(metadata, "variants", list, [])
        if not all(isinstance(v, str) and v.strip() for v in variants):
            raise ConfigError('"metadata.variants" is a list of answers that are not empty')
        return cls(
            id=_text(row, "id"),
            context=_get(row, "context", str, ""),
            question=_text(row, "question"),
            answer=_text(row, "answer"),
            history=tuple(history),
            type=_get(metadata, "type", str, "unknown"),
            reference=_get(metadata, "reference", str, ""),
            strongs_id=_get(metadata, "strongs_id", str, ""),
            open_book=_get(metadata, "open_book", bool, True),
            variants=tuple(variants),
        )


def _no_other_keys(row: dict[str, Any], known: set[str], prefix: str) -> None:
    if unknown := sorted(row.keys() - known):
        raise ConfigError(f'unknown key "{prefix}{unknown[0]}" (known: {", ".join(sorted(known))})')


def _get(row: dict[str, Any], key: str, kind: type, default: Any) -> Any:
    value = row.get(key, default)
    if not isinstance(value, kind):
        raise ConfigError(f'"{key}" must be {kind.__name__}, found {type(value).__name__}')
    return value


def _text(row: dict[str, Any], key: str) -> str:
    value: str = _get(row, key, str, "")
    if not value.strip():
        raise ConfigError(f'"{key}" is missing or empty')
    return value
