"""A question that was answered, as terminal, HTTP and page show it."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Word:
    """A word of the original languages behind an English one.

    Attributes:
        text: The word of the translation that renders it.
        strongs: Its Strong's number (`H430`).
        lemma: Its dictionary form, in Hebrew or Greek letters.
        transliteration: In Latin letters.
        gloss: What it means, in a few words.
    """

    text: str
    strongs: str
    lemma: str = ""
    transliteration: str = ""
    gloss: str = ""


@dataclass(frozen=True)
class Citation:
    """A verse that an answer rests on.

    Attributes:
        reference: As people write it (`Genesis 1:1`).
        text: In the King James Version.
        found: How it came: `given`, `looked up`, or the retriever's name.
        words: The original words, where the corpus has them.
    """

    reference: str
    text: str
    found: str = "given"
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Answered:
    """An answer with what it rests on.

    Attributes:
        answer: None where the model's reply could not be read.
        context: What the program was given to answer from.
        citations: The verses of the context.
        by: Who says so: `model`, or `lexicon` where a question about a word was looked up and no model was asked.
        checks: Whether each check of the program's assertions passed.
        attempts: Times that it was asked.
        salvaged: As in predictions.jsonl.
        ended: As in predictions.jsonl.
        seconds: `retrieval`, `model` and `total`.
        prompt: The messages of the last request, as they were sent.
        raw: What the model wrote.
    """

    answer: str | None
    context: str = ""
    citations: tuple[Citation, ...] = ()
    by: str = "model"
    checks: dict[str, bool] = field(default_factory=dict)
    attempts: int = 1
    salvaged: str | None = None
    ended: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    prompt: tuple[dict[str, str], ...] = ()
    raw: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As HTTP has it, but for prompt and raw text."""
        content = asdict(self)
        del content["prompt"], content["raw"]
        return content


Piece = tuple[Citation, ...] | str | Answered
"""Of an answer as it comes: first the verses that it will rest on, then its text bit by bit, and at last the whole."""
