"""The original words behind a verse, written compactly enough to stand in a prompt."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from bibleqa.data.corpora.records import Word
from bibleqa.data.corpus import Corpus
from bibleqa.data.questions.small_words import SMALL
from bibleqa.text import words

# The tags give a word of grammar a number where it translates a particle or a pronoun, or where one original word is
# spread over several English ones.
_SMALL = SMALL | frozenset(
    "another art behind below both cometh does dost doth goeth nay oh ones pass self shalt still wilt ye".split()
)


def notes(corpus: Corpus, verses: Iterable[int], names: Mapping[str, str] | None = None) -> str:
    """A line a verse: its English words in order, each with number and transliteration of what stands behind it.

    Small words are passed over, to be brief.

    `[Genesis 1:1, words] beginning: H7225 rê'shîyth; God: H430 'ĕlôhîym; created: H1254 bârâ'; …`

    Args:
        corpus: The store.
        verses: Their ids.
        names: What to write instead of the transliteration, by number (`H430`: `Elohim`).
    """
    lines = []
    for verse in verses:
        label = corpus.bible[verse].reference
        lines.append(f"[{label}, words] {'; '.join(_groups(corpus, corpus.words('kjv', verse), names or {}))}")
    return "\n".join(lines)


def has_content(phrase: str) -> bool:
    """Whether a phrase is more than small words."""
    return not set(words(phrase)) <= _SMALL


def _groups(corpus: Corpus, tagged: list[Word], names: Mapping[str, str]) -> Iterator[str]:
    for _, group in groupby(tagged, key=lambda word: word.position):
        members = list(group)
        if not has_content(members[0].text):
            continue
        if behind := [named(corpus, word.strongs, names) for word in members if word.strongs]:
            yield f"{members[0].text}: {' '.join(behind)}"


def named(corpus: Corpus, number: str, names: Mapping[str, str] | None = None) -> str:
    """A Strong's number with the transliteration of its word, or the name given to it: `H430 'ĕlôhîym`."""
    if names and number in names:
        return f"{number} {names[number]}"
    entry = corpus.entry(number)
    return f"{number} {entry.transliteration}" if entry else number
