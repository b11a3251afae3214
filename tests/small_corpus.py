"""A corpus store with the words of three verses, made in no time."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bibleqa.data import store
from bibleqa.data.corpora.records import LexiconEntry, Reading, Word
from bibleqa.data.store import Record, Source

_WORDS = {
    1001001: (("beginning", "H7225"), ("God", "H430"), ("created", "H1254"), ("heaven", "H8064"), ("earth", "H776")),
    19110001: (("LORD", "H3068"), ("said", "H5002"), ("unto my Lord", "H113"), ("Lord", "H113"), ("Said", "H559")),
    43001001: (("beginning", "G746"), ("Word", "G3056")),
}
_ENTRIES = (
    ("H430", "אלהים", "'ĕlôhîym", "God"),
    ("H1254", "בּרא", "bârâ'", "create"),
    ("H8064", "שׁמים", "shâmayim", "sky"),
    ("G3056", "λόγος", "lógos", "something said"),
)


def build(path: Path) -> Path:
    """Write the store."""
    words = [
        Word("kjv", verse, at, text, number)
        for verse, rendered in _WORDS.items()
        for at, (text, number) in enumerate(rendered, 1)
    ]
    entries = [LexiconEntry("strongs", number, "", lemma, sound, gloss, "") for number, lemma, sound, gloss in _ENTRIES]
    read = partial(_records, [*words, *entries])
    list(store.build(path, [Source("sword/kjv", "small", read, path)], 0.0))
    return path


def _records(records: Sequence[Record], reading: Reading) -> Iterator[Record]:
    for record in records:
        reading.rows += 1
        yield record
