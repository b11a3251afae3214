"""What the question families have in common: choosing wordings, contexts and a balanced selection of items."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible, Verse
from bibleqa.text import contains, words

T = TypeVar("T")

_BUCKETS = 12

_WINDOWS = ((0, 0), (0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2))


def digest(key: str) -> str:
    """An arbitrary but fixed order of keys, the same on every platform."""
    return hashlib.sha256(key.encode()).hexdigest()


def choose(key: str, options: Sequence[T]) -> T:
    """One of the options, the same for the same key."""
    return options[int(digest(key)[:8], 16) % len(options)]


def bucket(number: str) -> str:
    """One of a few parts of the dictionary, by Strong's number.

    A question about words and no verse goes into a split by its part; and what stands in its context beside the word
    that is asked about comes from the same part, so that train does not tell what test asks.
    """
    return f"part {int(digest(number)[:8], 16) % _BUCKETS}"


def window(bible: Bible, verse: Verse, key: str) -> list[Verse]:
    """The verse, alone or with some of its neighbours, so that the answer's place varies."""
    return bible.neighbours(verse, *choose(f"window:{key}", _WINDOWS))


def gives_itself_away(item: Item) -> bool:
    """Whether the question, or an earlier turn, contains an accepted answer."""
    asked = [item.question]
    for turn in item.history:
        asked += [turn.question, turn.answer]
    return any(contains(text, answer) for text in asked for answer in item.accepted)


def select(items: Iterable[Item], share: float, limit: int) -> list[Item]:
    """At most `limit` items in which no answer takes more than `share`, and none that gives itself away.

    The choice follows a digest of the ids; the order stays that of the text.
    """
    candidates = list(items)
    ranked = sorted(candidates, key=lambda item: digest(item.id))
    flawed: dict[str, bool] = {}

    def sound(item: Item) -> bool:
        if item.id not in flawed:
            flawed[item.id] = gives_itself_away(item)
        return not flawed[item.id]

    total = min(limit, len(ranked))
    while True:
        taken: set[str] = set()
        by_answer: Counter[tuple[str, ...]] = Counter()
        for item in ranked:
            answer = words(item.answer)
            if len(taken) < total and by_answer[answer] < max(1, int(share * total)) and sound(item):
                taken.add(item.id)
                by_answer[answer] += 1
        if len(taken) == total:
            return [item for item in candidates if item.id in taken]
        total = len(taken)
