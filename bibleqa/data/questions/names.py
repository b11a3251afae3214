"""Proper names in the King James Version, and those that are borne by the same person."""

import re
from collections import Counter
from functools import lru_cache

from bibleqa.data.kjv import Bible, Verse

NAME = r"[A-Z][a-zæ]+(?:-[A-Za-z][a-z]+)*"
"""A word that can be a name; `proper_names` knows which are."""

_INSIDE_A_CLAUSE = re.compile(rf"(?<=[a-z] )({NAME})(?![\w-])")
_LOWER_CASE = re.compile(r"(?<![\w’-])[a-z]+(?![\w-])")

# Names of people that are also common words in lower case.
_ALSO_WORDS = frozenset(
    {"Cain", "Dan", "Gad", "Jesus", "Lot", "Ram", "Mark", "Tamar", "Sheba", "Ephah", "Hanan", "Ezer"}
)
_NOT_PERSONS = frozenset(
    {"Belial", "Christ", "God", "Godhead", "Jehovah", "Jews", "Gentiles", "Hebrews", "Egyptians", "Philistines"}
)

# What else a person is called, and the books in which the name means that person (empty: all). Not every pair
# holds both ways: Peter is Simon, but in Acts 8 Simon is a sorcerer.
_OTHER_NAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Abram": (("Abraham",), ()),
    "Abraham": (("Abram",), ()),
    "Sarai": (("Sarah",), ()),
    "Sarah": (("Sarai",), ()),
    "Jacob": (("Israel",), ("Genesis",)),
    "Israel": (("Jacob",), ("Genesis",)),
    "Peter": (("Simon Peter", "Simon", "Cephas"), ("Matthew", "Mark", "Luke", "John", "Acts", "Galatians")),
    "Simon Peter": (("Peter", "Simon", "Cephas"), ("Matthew", "Mark", "Luke", "John")),
    "Paul": (("Saul",), ("Acts",)),
    "Saul": (("Paul",), ("Acts",)),
    "Gideon": (("Jerubbaal",), ("Judges",)),
    "Jerubbaal": (("Gideon",), ("Judges",)),
    "Daniel": (("Belteshazzar",), ("Daniel",)),
    "Oshea": (("Joshua",), ("Numbers",)),
    "Jesus": (("Christ", "Jesus Christ"), ("Matthew", "Mark", "Luke", "John", "Acts")),
    "Jeconiah": (("Jehoiachin", "Coniah"), ()),
    "Coniah": (("Jehoiachin", "Jeconiah"), ()),
    "Jehoiachin": (("Jeconiah", "Coniah"), ()),
}


def other_names(name: str, verse: Verse) -> tuple[str, ...]:
    """What else the person is called, where there is no doubt about who is meant."""
    others, books = _OTHER_NAMES.get(name, ((), ()))
    return others if not books or verse.book in books else ()


@lru_cache(maxsize=4)
def proper_names(bible: Bible) -> frozenset[str]:
    """The words that stand in capitals inside a clause and never in lower case: people and places."""
    inside: Counter[str] = Counter()
    lower: set[str] = set()
    for verse in bible.verses:
        inside.update(_INSIDE_A_CLAUSE.findall(verse.text))
        lower.update(_LOWER_CASE.findall(verse.text))
    return frozenset(n for n in inside if n.lower() not in lower or n in _ALSO_WORDS) - _NOT_PERSONS
