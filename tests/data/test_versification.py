from itertools import pairwise

import pytest

from bibleqa.data.corpora.records import VerseMapping
from bibleqa.data.reference import BOOKS, Reference, parse
from bibleqa.data.versification import TRADITIONS, Versification, versification
from bibleqa.errors import ConfigError

# Chapters of which versiref has some verses nowhere in a tradition: the Septuagint lacks them or has them elsewhere,
# and the Leningrad codex is without the horses of Nehemiah 7:68.
ABSENT = {
    "hebrew": {"Nehemiah 7"},
    "greek": {
        *(f"Exodus {chapter}" for chapter in (36, 37, 38, 39)),
        *(f"Joshua {chapter}" for chapter in (8, 10, 13)),
        *(f"1 Kings {chapter}" for chapter in (4, 6, 7)),
        *(f"Jeremiah {chapter}" for chapter in (25, 33, 39, 48)),
        *("Numbers 6", "1 Samuel 17", "1 Samuel 18", "Nehemiah 4", "Proverbs 18", "Isaiah 2", "Isaiah 56", "Daniel 4"),
    },
    "latin": set(),
}
SAMPLE = [
    # Rows of TVTMS as its expanded part has them: Latin Joshua 5:14-16, Greek Joshua 9:2a.
    VerseMapping("latin", 6005014, "", 6005014, "Concatenation"),
    VerseMapping("latin", 6005014, "a", 6005014, "Renumber verse"),
    VerseMapping("latin", 6005015, "b", 6005014, "DividedPrev verse"),
    VerseMapping("latin", 6005016, "", 6005015, "Renumber verse"),
    VerseMapping("greek", 6009002, "a", 6008030, "MovedFrom verse*"),
]


def english() -> list[int]:
    return [
        Reference(book.number, chapter, verse).id
        for book in BOOKS
        for chapter, count in enumerate(book.verses, start=1)
        for verse in range(count + 1)
        if Reference(book.number, chapter, verse).exists
    ]


def numbers(written: str) -> list[tuple[int, str]]:
    """`Psalms 51:1a, 51:2b` as numbers and parts; the numbers need not exist in English."""
    name, _, places = written.rpartition(" ") if "," not in written else written.partition(",")[0].rpartition(" ")
    rest = written.split(",")[1:] if "," in written else []
    found = []
    for place in (places, *rest):
        digits = place.strip().rstrip("abc")
        chapter, verse = digits.split(":")
        found.append((Reference(parse(name).first.book, int(chapter), int(verse)).id, place.strip()[len(digits) :]))
    return found


@pytest.mark.parametrize(
    ("tradition", "verse", "there"),
    [
        ("hebrew", "Psalm 51:0", "Psalms 51:1a, 51:2b"),
        ("hebrew", "Psalm 51:1", "Psalms 51:3"),
        ("hebrew", "Psalm 3:0", "Psalms 3:1"),
        ("hebrew", "Psalm 3:8", "Psalms 3:9"),
        ("hebrew", "Psalm 23:0", "Psalms 23:1a"),
        ("hebrew", "Psalm 23:1", "Psalms 23:1b"),
        ("hebrew", "Psalm 23:2", "Psalms 23:2"),
        ("hebrew", "Psalm 13:5", "Psalms 13:6a"),
        ("hebrew", "Psalm 13:6", "Psalms 13:6b"),
        ("hebrew", "Joel 2:28", "Joel 3:1"),
        ("hebrew", "Joel 3:1", "Joel 4:1"),
        ("hebrew", "Malachi 4:1", "Malachi 3:19"),
        ("hebrew", "Genesis 31:55", "Genesis 32:1"),
        ("hebrew", "Numbers 26:1", "Numbers 25:19a, 26:1b"),
        ("hebrew", "1 Samuel 20:42", "1 Samuel 20:42a, 21:1b"),
        ("hebrew", "1 Kings 22:43", "1 Kings 22:43a, 22:44b"),
        ("hebrew", "Nehemiah 7:69", "Nehemiah 7:68"),
        ("hebrew", "Isaiah 64:1", "Isaiah 63:19b"),
        ("hebrew", "Daniel 4:1", "Daniel 3:31"),
        ("hebrew", "Genesis 1:1", "Genesis 1:1"),
        ("hebrew", "3 John 14", "3 John 1:14"),
        ("greek", "Psalm 23:2", "Psalms 22:2"),
        ("greek", "Psalm 51:1", "Psalms 50:3"),
        ("greek", "Psalm 10:1", "Psalms 9:22"),
        ("greek", "Psalm 116:10", "Psalms 115:1"),
        ("greek", "Psalm 147:12", "Psalms 147:1"),
        ("greek", "1 Kings 20:5", "1 Kings 21:5"),
        ("greek", "1 Kings 21:5", "1 Kings 20:5"),
        ("greek", "Nehemiah 1:1", "Nehemiah 1:1"),
        ("greek", "Jeremiah 31:31", "Jeremiah 38:31"),
        ("greek", "Daniel 3:24", "Daniel 3:91"),
        ("greek", "Acts 19:41", "Acts 19:40b"),
        ("greek", "2 Corinthians 13:13", "2 Corinthians 13:12b"),
        ("greek", "2 Corinthians 13:14", "2 Corinthians 13:13"),
        ("greek", "3 John 14", "3 John 1:14a, 1:15b"),
        ("greek", "Revelation 12:17", "Revelation 12:17"),
        ("greek", "Revelation 13:1", "Revelation 12:18a, 13:1b"),
        ("latin", "Psalm 23:2", "Psalms 22:2"),
        ("latin", "Psalm 51:1", "Psalms 50:3"),
        ("latin", "Joshua 5:14", "Joshua 5:14a, 5:15b"),
        ("latin", "Joshua 5:15", "Joshua 5:16"),
        ("latin", "Jonah 1:17", "Jonah 2:1"),
        ("latin", "Isaiah 64:1", "Isaiah 64:1"),
        ("latin", "3 John 14", "3 John 1:14"),
        ("latin", "Revelation 13:1", "Revelation 12:18a, 13:1b"),
    ],
)
def test_a_verse_is_found_in_another_numbering_and_back(tradition: str, verse: str, there: str) -> None:
    known, expected, english_id = versification(), numbers(there), parse(verse).first.id
    assert list(known.to(tradition, english_id)) == expected
    for number, part in expected:
        assert (english_id, part) in known.from_(tradition, number)


def test_the_hebrew_verse_that_begins_with_a_title_is_title_and_verse() -> None:
    assert versification().from_("hebrew", 19023001) == ((19023000, "a"), (19023001, "b"))


@pytest.mark.parametrize("tradition", TRADITIONS)
def test_every_verse_comes_back_but_those_that_are_not_there(tradition: str) -> None:
    known, absent = versification(), set()
    for verse in english():
        there = known.to(tradition, verse)
        assert all(verse in {back for back, _ in known.from_(tradition, number)} for number, _ in there)
        assert all(number % 1000 for number, _ in there), "only English Bibles have titles without a number"
        if not there:
            absent.add(str(Reference.from_id(verse)).rpartition(":")[0])
    assert absent == ABSENT[tradition]


@pytest.mark.parametrize("tradition", TRADITIONS)
def test_every_number_of_a_tradition_comes_back(tradition: str) -> None:
    known = versification()
    for number in sorted({number for verse in english() for number, _ in known.to(tradition, verse)}):
        for verse, part in known.from_(tradition, number):
            assert (number, part) in known.to(tradition, verse)


def test_a_number_that_only_english_bibles_have_is_nothing_there() -> None:
    assert versification().from_("hebrew", parse("Joel 2:28").first.id) == ()
    assert versification().from_("hebrew", parse("Psalm 3:0").first.id) == ()
    assert versification().to("hebrew", parse("Nehemiah 7:68").first.id) == ()


def test_tvtms_comes_before_versiref_and_keeps_parts() -> None:
    known = versification(SAMPLE)
    assert known.to("latin", 6005014) == ((6005014, "a"), (6005015, "b"))
    assert known.to("latin", 6005015) == ((6005016, ""),)
    assert known.from_("latin", 6005015) == ((6005014, "b"),)
    assert known.to("greek", 6008030) == ((6009002, "a"),)
    assert known.from_("greek", 6009002) == ((6008030, "a"), (6009002, ""))
    assert known.to("hebrew", parse("Joel 2:28").first.id) == ((parse("Joel 2:28").first.id, ""),)


def test_versiref_agrees_with_tvtms_on_joshua_5() -> None:
    tvtms, other = Versification(SAMPLE), versification()
    for verse in (6005014, 6005015):
        assert other.to("latin", verse) == tvtms.to("latin", verse)
        assert other.to("hebrew", verse) == other.to("greek", verse) == ((verse, ""),)


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match='no tradition "syriac"; there are hebrew, greek, latin'):
        versification().to("syriac", 1001001)
    with pytest.raises(ConfigError, match="no tradition"):
        versification().from_("english", 1001001)
    for verse in (1001032, 99001001):
        with pytest.raises(ConfigError, match=f"no verse {verse} in the English numbering"):
            versification().to("hebrew", verse)
    assert versification().from_("hebrew", 99001001) == ()


def test_the_hebrew_psalms_count_their_2527_verses_without_a_gap() -> None:
    psalms = [verse for verse in english() if verse // 1_000_000 == 19]
    there = sorted({number for verse in psalms for number, _ in versification().to("hebrew", verse)})
    assert len(there) == 2527
    assert all(number % 1000 == 1 or number - 1 == before for before, number in pairwise(there))
