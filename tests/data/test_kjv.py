import pytest

from bibleqa.data.kjv import Bible, book_abbreviations, context_of
from bibleqa.errors import ConfigError


def test_the_text_is_whole_and_free_of_the_brackets_of_italics(bible: Bible) -> None:
    assert len(bible.verses) == 31_102
    assert not [v.reference for v in bible.verses if "[" in v.text or "]" in v.text or "  " in v.text]
    assert bible[1003019].text.endswith("for dust thou art, and unto dust shalt thou return.")


def test_the_divine_name_stays_in_capitals(bible: Bible) -> None:
    assert "the LORD God" in bible[1002004].text
    assert "O Lord GOD" in bible[10007018].text


@pytest.mark.parametrize(
    ("written", "first", "last", "count"),
    [
        ("Genesis 22:1-14", "Genesis 22:1", "Genesis 22:14", 14),
        ("1 Jn 4:8", "1 John 4:8", "1 John 4:8", 1),
        ("Ps 23", "Psalms 23:1", "Psalms 23:6", 6),
        ("II Kings 3:1", "2 Kings 3:1", "2 Kings 3:1", 1),
        ("Song of Songs 2.1", "Song of Songs 2:1", "Song of Songs 2:1", 1),
        ("Genesis 1:30–2:3", "Genesis 1:30", "Genesis 2:3", 5),
        ("3 John", "3 John 1:1", "3 John 1:14", 14),
        ("Gen 1:1, 3", "Genesis 1:1", "Genesis 1:3", 2),
    ],
)
def test_a_passage_is_found_as_people_write_it(bible: Bible, written: str, first: str, last: str, count: int) -> None:
    verses = bible.passage(written)
    assert (verses[0].reference, verses[-1].reference, len(verses)) == (first, last, count)


@pytest.mark.parametrize(
    "written", ["Gen 51:1", "Gen 1:1,99", "Gen 22:1-99", "Psalm 51:0", "Foo 3:1", "see Gen 1:1", "3 John 15", ""]
)
def test_a_reference_that_does_not_exist_is_named(bible: Bible, written: str) -> None:
    with pytest.raises(ConfigError, match=f'"{written}" is not a passage'):
        bible.passage(written)


def test_neighbours_stay_within_the_chapter(bible: Bible) -> None:
    assert [v.reference for v in bible.neighbours(bible[1002001], 2, 1)] == ["Genesis 2:1", "Genesis 2:2"]
    assert [v.id for v in bible.neighbours(bible[1001031], 1, 2)] == [1001030, 1001031]


def test_a_context_says_which_verses_it_is_made_of(bible: Bible) -> None:
    verses = bible.passage("1 John 4:7-8")
    context = context_of(verses)
    assert context.startswith("[1 John 4:7] Beloved, let us love one another")
    assert context.count("\n") == 1
    assert bible.cited(f"{context}\n[1 John 4:8, note] God: theos") == verses


def test_abbreviations_keep_the_number_of_the_book() -> None:
    assert "1 Sam" in book_abbreviations()["1 Samuel"]
    assert "Gen" in book_abbreviations()["Genesis"]
