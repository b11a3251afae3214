"""The critical terms of the Bible's theology: which one stands behind an English word, and what it means there.

A term is named as theologians write it, and as the metric `theological` demands it (conf/metric/theological.yaml).
The tags are those of the SWORD module engKJV2006eb.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.kjv import Verse, context_of
from bibleqa.data.notes import notes
from bibleqa.data.questions.craft import choose, select
from bibleqa.data.questions.lexemes import Tag, clear_tags, few_of_each, is_compact, padded, slug, tagged_verses

TYPE = "theological_term"
OPEN_BOOK = True

_SHARE, _LIMIT = 0.05, 1500
_OF_A_TERM = 75


@dataclass(frozen=True)
class Term:
    """A critical term: its name, and its other spellings."""

    name: str
    also: tuple[str, ...]


TERMS: dict[str, Term] = {
    "H430": Term("Elohim", ("Elohiym", "אלהים")),
    "H3068": Term("YHWH", ("Yahweh", "Yahveh", "Jehovah", "Yehovah", "יהוה")),
    "H113": Term("Adon", ("אדון",)),
    "H136": Term("Adonai", ("Adonay", "אדני")),
    "H410": Term("El", ("אל",)),
    "H433": Term("Eloah", ("Eloahh", "אלוה")),
    "H7706": Term("Shaddai", ("Shadday", "שדי")),
    "H5945": Term("Elyon", ("Elyown", "עליון")),
    "H2617": Term("hesed", ("chesed", "checed", "חסד")),
    "H539": Term("aman", ("אמן",)),
    "H4899": Term("mashiach", ("mashiyach", "משיח")),
    "H7307": Term("ruach", ("ruwach", "רוח")),
    "H8451": Term("torah", ("towrah", "תורה")),
    "G2316": Term("theos", ("Θεός",)),
    "G2962": Term("kyrios", ("kurios", "κύριος")),
    "G5547": Term("christos", ("Χριστός",)),
    "G3056": Term("logos", ("λόγος",)),
    "G26": Term("agape", ("ἀγάπη",)),
    "G4102": Term("pistis", ("πίστις",)),
    "G5485": Term("charis", ("χάρις",)),
    "G4151": Term("pneuma", ("πνεῦμα",)),
}
"""The terms by number; names and spellings are those of the metric."""

_NAMES = {number: term.name for number, term in TERMS.items()}


def questions(corpus: Corpus) -> Iterator[Item]:
    """The terms in verses with other words to tell them from, each term about as often as the others."""
    for item in select(few_of_each(_candidates(corpus), _OF_A_TERM), _SHARE, _LIMIT):
        (verse,) = corpus.bible.passage(item.reference)
        yield replace(item, context=f"{context_of([verse])}\n{notes(corpus, [verse.id], _NAMES)}")


def _candidates(corpus: Corpus) -> Iterator[Item]:
    """The items without their contexts, which take longer to write than all the rest."""
    for verse, tagged in tagged_verses(corpus):
        held = TERMS.keys() & {word.strongs for word in tagged}
        if held and is_compact(verse, tagged):
            tags = (tag for tag in clear_tags(corpus, verse, tagged) if tag.entry.strongs in held)
            yield from (_item(verse, tag) for tag in tags)


def _item(verse: Verse, tag: Tag) -> Item:
    number = tag.entry.strongs
    key = f"{TYPE}:{verse.id:08}:{slug(tag.english)}"
    question, answer, variants = _asked(tag, TERMS[number], key, verse.reference)
    return Item(
        id=key,
        context="",
        question=question,
        answer=answer,
        type=TYPE,
        reference=verse.reference,
        strongs_id=number,
        variants=variants,
    )


def _asked(tag: Tag, term: Term, key: str, ref: str) -> tuple[str, str, tuple[str, ...]]:
    """A question, its answer and variants; most answers name the term, by itself or by its number."""
    number = tag.entry.strongs
    word, tongue = f"“{tag.english}”", "Hebrew" if number[0] == "H" else "Greek"
    padding = (padded(number),) if padded(number) != number else ()
    by_name = (
        (
            f"In {ref}, which {tongue} term stands behind {word}?",
            f"In {ref}, {word} translates which {tongue} term?",
            f"In {ref}, what is the {tongue} term for {word}?",
        ),
        term.name,
        (*term.also, number, *padding),
    )
    by_both = (
        (
            f"In {ref}, name the {tongue} term behind {word} with its Strong's number.",
            f"In {ref}, which {tongue} term, with its number, is behind {word}?",
        ),
        f"{number} {term.name}",
        (f"{term.name} {number}", *(f"{number} {name}" for name in term.also)),
    )
    by_number = (
        (
            f"In {ref}, which Strong's number has the {tongue} term behind {word}?",
            f"In {ref}, what is the Strong's number of the term behind {word}?",
        ),
        number,
        padding,
    )
    by_meaning = (
        (
            f"In {ref}, with which English word does the KJV render {term.name} ({number})?",
            f"In {ref}, how does the KJV translate {term.name} ({number})?",
            f"In {ref}, which English word stands for {term.name}?",
        ),
        tag.english,
        (tag.group,) if tag.group != tag.english else (),
    )
    kinds = (by_name, by_name, by_name, by_both, by_both, by_number, by_number, by_meaning)
    wordings, answer, variants = choose(f"kind:{key}", kinds)
    return choose(f"wording:{key}", wordings), answer, variants
