"""The English translations as their packages have them."""

import pytest

from bibleqa.data.corpora import english
from bibleqa.errors import ConfigError


@pytest.mark.parametrize(("translation", "count"), [("KJV", 31_102), ("WEB", 31_102), ("ASV", 31_086)])
def test_every_verse_is_there_but_those_that_a_translation_leaves_out(translation: str, count: int) -> None:
    verses = list(english.verses(translation))

    assert len({verse.verse for verse in verses}) == len(verses) == count
    assert [verse.verse for verse in verses] == sorted(verse.verse for verse in verses)
    assert not any(mark in verse.text for verse in verses for mark in "[]`")


def test_the_doxology_of_romans_stands_where_the_king_james_version_has_it() -> None:
    web = {verse.verse: verse.text for verse in english.verses("WEB")}

    assert web[45016027].startswith("to the only wise God")
    assert 45014024 not in web


def test_quotation_marks_and_apostrophes_are_told_apart() -> None:
    web = {verse.verse: verse.text for verse in english.verses("WEB")}

    assert "‘Make us gods" in web[2032023]
    assert "don’t know" in web[2032023]


def test_an_unknown_translation_is_named() -> None:
    with pytest.raises(ConfigError, match=r"translation NIV: not known; there are KJV, WEB, ASV"):
        list(english.verses("NIV"))
