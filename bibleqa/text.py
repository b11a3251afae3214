"""The one normalisation of words that metrics, assertions and data checks share."""

import re
import unicodedata
from functools import lru_cache
from itertools import filterfalse

_ARTICLES = frozenset({"a", "an", "the"})
# Typewriter's, typographer's, and those that stand for aleph and ayin in transliterations.
_APOSTROPHES = "['’‘ʼʻʾʿ‛]"
_POSSESSIVE = re.compile(rf"{_APOSTROPHES}s\b")
_APOSTROPHE = re.compile(_APOSTROPHES)
_STRONGS = re.compile(r"\b([hg])0+(\d+[a-z]?)\b")
_WORD = re.compile(r"[^\W_]+")


@lru_cache(maxsize=65_536)
def words(text: str) -> tuple[str, ...]:
    """The words of a text in a form in which equal things compare equal.

    Case, punctuation, English articles and possessive endings, Unicode marks (Hebrew points, Greek accents)
    and the padding of Strong's numbers (`H0430`, `H430`) make no difference.

    >>> words("The LORD's *anointed*: H0430, אֱלֹהִים")
    ('lord', 'anointed', 'h430', 'אלהים')
    """
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(filterfalse(unicodedata.combining, decomposed)).casefold()
    bare = _APOSTROPHE.sub("", _POSSESSIVE.sub("", bare))
    bare = _STRONGS.sub(r"\1\2", bare)
    return tuple(w for w in _WORD.findall(bare) if w not in _ARTICLES)


def contains(text: str, phrase: str) -> bool:
    """Whether the phrase stands in the text, as whole words in a row. An empty phrase stands nowhere.

    >>> contains("And Abraham said unto Isaac", "abraham"), contains("Abrahamic", "Abraham")
    (True, False)
    """
    needle, hay = words(phrase), words(text)
    if not needle:
        return False
    return any(hay[i : i + len(needle)] == needle for i in range(len(hay) - len(needle) + 1))
