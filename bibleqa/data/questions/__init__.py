"""The question families: each makes questions and answers from the Bible's text."""

from collections.abc import Iterator
from typing import Protocol

from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible
from bibleqa.data.questions import divine_name, fill_in, follow_up, kinship, number, speaker, which_verse


class Family(Protocol):
    """What the module of a question family offers."""

    TYPE: str
    OPEN_BOOK: bool

    def questions(self, bible: Bible) -> Iterator[Item]:
        """The family's items, the same for the same Bible."""


FAMILIES: tuple[Family, ...] = (speaker, kinship, number, divine_name, follow_up, fill_in, which_verse)
