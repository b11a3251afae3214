"""The built datasets: which question families each holds, and which sources those need."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible
from bibleqa.data.questions import (
    conversation,
    cross_language,
    divine_name,
    fill_in,
    follow_up,
    kinship,
    lexicon_meaning,
    number,
    occurrences,
    people_places,
    speaker,
    strongs_lookup,
    theological_term,
    translation_comparison,
    versification,
    which_verse,
)


class TextFamily(Protocol):
    """A question family that needs nothing but the King James text."""

    TYPE: str
    OPEN_BOOK: bool

    def questions(self, bible: Bible) -> Iterator[Item]:
        """The family's items, the same for the same Bible."""


class CorpusFamily(Protocol):
    """A question family that needs the corpus store."""

    TYPE: str
    OPEN_BOOK: bool

    def questions(self, corpus: Corpus) -> Iterator[Item]:
        """The family's items, the same for the same store."""


@dataclass(frozen=True)
class Recipe:
    """What a dataset is built from.

    Attributes:
        text: Families that need the text alone, in the order of the dataset.
        corpus: Families that need the store.
        sources: Sources of the store that the latter read, by the beginning of their names (`sword/`).
        digests: Of files of the user's that the former read.
    """

    text: tuple[TextFamily, ...] = ()
    corpus: tuple[CorpusFamily, ...] = ()
    sources: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)


RECIPES: dict[str, Recipe] = {
    "kjv": Recipe(text=(speaker, kinship, number, divine_name, follow_up, fill_in, which_verse)),
    "strongs": Recipe(
        corpus=(strongs_lookup, theological_term, lexicon_meaning, occurrences, cross_language), sources=("sword/",)
    ),
    "multi_turn": Recipe(text=(follow_up,), corpus=(conversation,), sources=("sword/",)),
    "translations": Recipe(corpus=(translation_comparison,), sources=("english/",)),
    # Whatever else there is of STEPBible counts too: the mappings of TVTMS, where they are.
    "stepbible": Recipe(corpus=(people_places, versification), sources=("stepbible/tipnr", "stepbible/")),
}
