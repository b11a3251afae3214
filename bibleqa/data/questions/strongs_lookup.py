"""Which number, which Hebrew or Greek word stands behind an English word of a verse, and the way back.

The tags are those of the SWORD module engKJV2006eb, the words those of Strong's dictionaries (Debian packages
`sword-text-kjv`, `sword-dict-strongs-hebrew`, `sword-dict-strongs-greek`).
"""

from collections.abc import Iterator
from dataclasses import replace

from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.kjv import Verse, context_of
from bibleqa.data.notes import notes
from bibleqa.data.questions.craft import choose, digest, select
from bibleqa.data.questions.lexemes import (
    Tag,
    clear_tags,
    few_of_each,
    is_compact,
    language,
    number_forms,
    slug,
    tagged_verses,
    word_forms,
)

TYPE = "strongs_lookup"
OPEN_BOOK = True

_SHARE, _LIMIT = 0.01, 1500
_OF_A_NUMBER = 6


def questions(corpus: Corpus) -> Iterator[Item]:
    """A word of each verse that is short and has several words to tell apart, at most a few times the same one."""
    chosen = select(few_of_each(_candidates(corpus), _OF_A_NUMBER), _SHARE, _LIMIT)
    for item in chosen:
        (verse,) = corpus.bible.passage(item.reference)
        yield replace(item, context=f"{context_of([verse])}\n{notes(corpus, [verse.id])}")


def _candidates(corpus: Corpus) -> Iterator[Item]:
    """The items without their contexts, which take longer to write than all the rest."""
    for verse, tagged in tagged_verses(corpus):
        if is_compact(verse, tagged):
            found = sorted(clear_tags(corpus, verse, tagged), key=lambda tag: digest(f"{verse.id}:{tag.group}"))
            yield from (_item(verse, tag) for tag in found[:1])


def _item(verse: Verse, tag: Tag) -> Item:
    key = f"{TYPE}:{verse.id:08}:{slug(tag.english)}"
    question, answer, variants = _asked(tag, key, verse.reference)
    return Item(
        id=key,
        context="",
        question=question,
        answer=answer,
        type=TYPE,
        reference=verse.reference,
        strongs_id=tag.entry.strongs,
        variants=variants,
    )


def _asked(tag: Tag, key: str, ref: str) -> tuple[str, str, tuple[str, ...]]:
    """A question, its answer and variants.

    The reference leads and little follows it, so that no ten words of a question stand in another chapter's.
    """
    word, entry, tongue = f"“{tag.english}”", tag.entry, language(tag.entry)
    by_number = (
        (
            f"In {ref}, what is the Strong's number of {word}?",
            f"In {ref}, which Strong's number stands behind {word}?",
            f"In {ref}, {word} translates the {tongue} word with which Strong's number?",
        ),
        entry.strongs,
        number_forms(entry),
    )
    by_word = (
        (
            f"In {ref}, which {tongue} word stands behind {word}?",
            f"In {ref}, which {tongue} word is translated {word}?",
            f"In {ref}, which {tongue} word does {word} translate?",
        ),
        entry.transliteration,
        word_forms(entry),
    )
    asked = choose(f"name:{key}", (entry.strongs, entry.transliteration, f"{entry.transliteration} ({entry.strongs})"))
    plural = "words stand" if " " in tag.english else "word stands"
    by_english = (
        (
            f"In {ref}, which English {plural} for {asked}?",
            f"In {ref}, how is {asked} translated?",
            f"In {ref}, how does the KJV render {asked}?",
        ),
        tag.english,
        (tag.group,) if tag.group != tag.english else (),
    )
    wordings, answer, variants = choose(f"kind:{key}", (by_number, by_word, by_english))
    return choose(f"wording:{key}", wordings), answer, variants
