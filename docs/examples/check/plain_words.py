"""A check: the answer has none of the words that nobody says today, unless the question itself has them."""

from collections.abc import Mapping, Sequence
from typing import Any


def modern(inputs: Mapping[str, Any], answer: str, words: Sequence[str]) -> str | None:
    """None where the answer passes, else what the model is told."""
    asked, said = ([word.strip(".,;:?!") for word in text.lower().split()] for text in (inputs["question"], answer))
    found = [word for word in said if word in words and word not in asked]
    return f"Say it in today's English, without {', '.join(found)}." if found else None
