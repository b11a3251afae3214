"""How much context a question gets: a setting of the dataset."""

from dataclasses import replace

from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible, context_of
from bibleqa.data.notes import notes

SOURCES: dict[str, tuple[str, ...]] = {"verse": (), "passage": (), "interlinear": ("sword/kjv",), "none": ()}
"""The settings, and what each needs from the store."""

_AROUND = 2


def widen(item: Item, context: str, bible: Bible, corpus: Corpus | None) -> Item:
    """The item with as much context as the setting says; a closed-book one as it is.

    Args:
        item: With the context that its family gave it, which always stays part of it.
        context: `verse`: no more than that; `passage`: two verses around it besides; `interlinear`: the original
            words behind its verses besides; `none`: nothing, for a program that finds verses itself.
        bible: The text.
        corpus: The store, for `interlinear`.
    """
    if context == "none":
        return replace(item, context="")
    cited = bible.cited(item.context)
    if context == "verse" or not item.open_book or not cited:
        return item
    if context == "passage":
        before = [v for v in bible.neighbours(cited[0], _AROUND, 0) if v not in cited]
        after = [v for v in bible.neighbours(cited[-1], 0, _AROUND) if v not in cited]
        parts = [context_of(before), item.context, context_of(after)]
        return replace(item, context="\n".join(part for part in parts if part))
    assert corpus is not None
    return replace(item, context=f"{item.context}\n{notes(corpus, [verse.id for verse in cited])}")
