"""What people say of an answer, kept as questions that a later run can learn from (`dataset=feedback`).

It is data and nothing else: text in fields of bounded length, which no config and no path is made of.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from bibleqa import runs, secrets
from bibleqa.data import feedback as dataset
from bibleqa.data.build import answer_stands
from bibleqa.data.item import Item, Turn
from bibleqa.errors import ConfigError
from bibleqa.text import words

LONGEST = {"question": 2_000, "context": 20_000, "answer": 2_000, "correction": 2_000, "reference": 200, "served": 200}
"""Characters of each field; a turn's are those of question and answer."""
MOST_TURNS = 50


@dataclass(frozen=True)
class Kept:
    """What became of feedback.

    Attributes:
        id: The same for the same question, context and history.
        learnable: Whether it says what the right answer is, so that a run can learn from it.
    """

    id: str
    learnable: bool


def keep(
    question: str,
    context: str,
    history: Sequence[Turn],
    answer: str,
    thumb: Literal["up", "down"],
    correction: str | None = None,
    reference: str = "",
    served: str = "",
) -> Kept:
    """Keep what somebody said of an answer, in place of what was said before of the same question.

    Args:
        question: What was asked.
        context: What the answer was given from.
        history: The turns before.
        answer: What was answered.
        thumb: Whether that was right.
        correction: The right answer, as the person has it.
        reference: Where question or context come from.
        served: Name of the program that answered.

    Raises:
        ConfigError: A field is empty that must not be, too long, or no text that can be kept.
    """
    right = (correction or "").strip() or (answer if thumb == "up" else None)
    given = {"question": question, "context": context, "answer": answer, "correction": correction or ""}
    _check({**given, "reference": reference, "served": served}, history, thumb, right)
    inputs = [context, question, [asdict(turn) for turn in history]]
    id = f"feedback:{_digest(inputs)}"
    said = {**given, "history": inputs[2], "thumb": thumb, "reference": reference, "served": served}
    thumb_row = {"id": f"thumb:{_digest([*inputs, answer])}", "at": datetime.now(UTC).isoformat(timespec="seconds")}
    file = dataset.file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(".lock")):
        if right is not None:
            item = _item(id, question, context, history, right, answer if thumb == "up" else None, reference)
            _put(file, id, item.to_json())
        elif any(row["id"] == id and row.get("answer") == answer for row in _rows(file)):
            _put(file, id, None)  # that answer was taken for right before
        _put(file.with_name("thumbs.jsonl"), thumb_row["id"], json.dumps(thumb_row | said, ensure_ascii=False))
    return Kept(id, right is not None)


def _item(
    id: str, question: str, context: str, history: Sequence[Turn], right: str, other: str | None, reference: str
) -> Item:
    item = Item(id, context, question, right, tuple(history), type="feedback", reference=reference)
    if other is not None and words(other) not in ((), words(right)):
        item = replace(item, variants=(other,))
    return replace(item, open_book=answer_stands(item))


def _check(texts: dict[str, str], history: Sequence[Turn], thumb: str, right: str | None) -> None:
    turns = [text for turn in history for text in (turn.question, turn.answer)]
    if thumb not in ("up", "down"):
        raise ConfigError(f"thumb: {thumb!r} is neither up nor down")
    if len(history) > MOST_TURNS:
        raise ConfigError(f"history: {len(history)} turns; at the most {MOST_TURNS} are kept")
    named = [*texts.items(), *(("answer", text) for text in turns)]
    for name, text in named:
        if len(text) > LONGEST[name]:
            raise ConfigError(f"{name}: {len(text):,} characters; at the most {LONGEST[name]:,} are kept")
        if text != text.encode(errors="ignore").decode():
            raise ConfigError(f"{name}: has characters that are no text")
    if not texts["question"].strip() or not all(text.strip() for text in turns):
        raise ConfigError("question: is empty, or a turn of the history is")
    if right is not None and not words(right):
        raise ConfigError(f"{'correction' if texts['correction'] else 'answer'}: has no word to compare answers by")


def _put(file: Path, id: str, line: str | None) -> None:
    """Add a line, or have it where one of that id stands; with None, have none of that id."""
    lines = {row["id"]: json.dumps(row, ensure_ascii=False) for row in _rows(file)}
    if line is not None and id not in lines:
        runs.Lines(file).add(secrets.redacted(line))
        return
    if line is None:
        lines.pop(id, None)
    else:
        lines[id] = line
    runs.write_atomically(file, "".join(f"{line}\n" for line in lines.values()))


def _rows(file: Path) -> list[dict[str, Any]]:
    try:
        return [{"id": row["id"], **row} for row in runs.read_lines(file)] if file.is_file() else []
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: cannot be read ({error!r}); bibleqa data check {file} says which line") from None


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, ensure_ascii=False).encode()).hexdigest()[:24]
