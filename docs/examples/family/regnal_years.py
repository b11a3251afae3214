"""A question family: in which year of a king something happened, as the King James text words it."""

import re
from collections.abc import Iterator

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible, context_of
from bibleqa.data.questions.craft import choose

TYPE = "regnal_year"
OPEN_BOOK = True

_YEAR = re.compile(
    r"\b[Ii]n the (?P<year>[a-z]+(?: and [a-z]+)?) year of (?:the reign of )?(?:king )?(?P<king>[A-Z][a-z]+)"
)
_WORDINGS = ("Which year of {king}'s reign does {ref} name?", "In which year of {king}'s reign is {ref} set?")


def questions(bible: Bible) -> Iterator[Item]:
    """A question for each verse that names one such year."""
    for verse in bible.verses:
        found = list(_YEAR.finditer(verse.text))
        if len(found) != 1:
            continue
        key = f"{TYPE}:{verse.id}"
        yield Item(
            id=key,
            context=context_of([verse]),
            question=choose(key, _WORDINGS).format(king=found[0]["king"], ref=verse.reference),
            answer=found[0]["year"].lower(),
            type=TYPE,
            reference=verse.reference,
        )
