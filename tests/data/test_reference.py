import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibleqa.data.reference import BOOKS, PSALMS, Passage, Reference, find_book, parse, passages
from bibleqa.errors import ConfigError

VERSES = [
    reference
    for book in BOOKS
    for chapter, count in enumerate(book.verses, start=1)
    for verse in range(count + 1)
    if (reference := Reference(book.number, chapter, verse)).exists
]

WRITTEN = {
    "Genesis 5:6": "Genesis 5:6",
    "Gen 1:1": "Genesis 1:1",
    "Gn 1:1": "Genesis 1:1",
    "gen. 1.1": "Genesis 1:1",
    "GENESIS 1:1": "Genesis 1:1",
    "Gen 1 : 1": "Genesis 1:1",
    "Genesis chapter 5 verse 6": "Genesis 5:6",
    "Genesis chapter 5, verses 6-8": "Genesis 5:6-8",
    "Gen. ch. 5, v. 6": "Genesis 5:6",
    "Gen 2:4a": "Genesis 2:4",
    "Gen 2:4b-7": "Genesis 2:4-7",
    "Gen 22:1-14": "Genesis 22:1-14",
    "Gen 22:1 - 14": "Genesis 22:1-14",
    "Genesis 1:31-2:3": "Genesis 1:31-2:3",
    "Genesis 1:30–2:3": "Genesis 1:30-2:3",
    "Gen 1-2": "Genesis 1:1-2:25",
    "Gen 1-2:3": "Genesis 1:1-2:3",
    "Ex 20:3": "Exodus 20:3",
    "Exod. 20:3": "Exodus 20:3",
    "Lv 19:18": "Leviticus 19:18",
    "Nm 6:24": "Numbers 6:24",
    "Num. 6:24-26": "Numbers 6:24-26",
    "Dt 6:4": "Deuteronomy 6:4",
    "Deut 6:4": "Deuteronomy 6:4",
    "Josh 1:9": "Joshua 1:9",
    "Jdg 6:11": "Judges 6:11",
    "Jgs 6:11": "Judges 6:11",
    "Ruth 1:16": "Ruth 1:16",
    "Ru 1:16": "Ruth 1:16",
    "2 Sam. 22:3": "2 Samuel 22:3",
    "2Sam 22:3": "2 Samuel 22:3",
    "II Samuel 22:3": "2 Samuel 22:3",
    "2nd Samuel 22:3": "2 Samuel 22:3",
    "Second Samuel 22:3": "2 Samuel 22:3",
    "The First Book of Samuel 17:4": "1 Samuel 17:4",
    "1 Kgs 3:9": "1 Kings 3:9",
    "1 Ki 3:9": "1 Kings 3:9",
    "II Kings 3:1": "2 Kings 3:1",
    "1 Chr 4:10": "1 Chronicles 4:10",
    "2 Ch 7:14": "2 Chronicles 7:14",
    "II Ch. 7:14": "2 Chronicles 7:14",
    "Ezr 7:10": "Ezra 7:10",
    "Neh 8:10": "Nehemiah 8:10",
    "Esth 4:14": "Esther 4:14",
    "Jb 1:21": "Job 1:21",
    "The Book of Job 1:21": "Job 1:21",
    "Ps 23:1-4": "Psalms 23:1-4",
    "Psalm 23": "Psalms 23:1-6",
    "Psalms 23": "Psalms 23:1-6",
    "Ps. xxiii. 4": "Psalms 23:4",
    "Psa 119:105": "Psalms 119:105",
    "Ps 51:0": "Psalms 51:title",
    "Psalm 51 title": "Psalms 51:title",
    "Psalm 51:title": "Psalms 51:title",
    "Psalm 51, title": "Psalms 51:title",
    "Psalm 51 (superscription)": "Psalms 51:title",
    "Ps 51:0-2": "Psalms 51:title-2",
    "Prov 31:10": "Proverbs 31:10",
    "Prv 31:10": "Proverbs 31:10",
    "Eccl 3:1": "Ecclesiastes 3:1",
    "Qoh 3:1": "Ecclesiastes 3:1",
    "Song of Songs 2.1": "Song of Songs 2:1",
    "Song of Solomon 2:1": "Song of Songs 2:1",
    "Canticles 2:1": "Song of Songs 2:1",
    "Song 2:1": "Song of Songs 2:1",
    "Is 53:5": "Isaiah 53:5",
    "Isa. 53:5": "Isaiah 53:5",
    "Jr 1:5": "Jeremiah 1:5",
    "Lamentations of Jeremiah 3:22": "Lamentations 3:22",
    "Ezek 37:1": "Ezekiel 37:1",
    "Dn 3:17": "Daniel 3:17",
    "Hos 6:6": "Hosea 6:6",
    "Jl 2:28": "Joel 2:28",
    "Am 5:24": "Amos 5:24",
    "Obadiah 3": "Obadiah 1:3",
    "Obad 1:3": "Obadiah 1:3",
    "Mic 6:8": "Micah 6:8",
    "Hab 2:4": "Habakkuk 2:4",
    "Zech 9:9": "Zechariah 9:9",
    "Mal 4:1": "Malachi 4:1",
    "Mt 5:3–12": "Matthew 5:3-12",
    "Matt. 5:3—12": "Matthew 5:3-12",
    "The Gospel according to St. Matthew 5:3": "Matthew 5:3",
    "Mk 1:1": "Mark 1:1",
    "Lk 2:7": "Luke 2:7",
    "Jn 3:16": "John 3:16",
    "St. John 3:16": "John 3:16",
    "Acts of the Apostles 2:1": "Acts 2:1",
    "Rom 8:28": "Romans 8:28",
    "Rm 8:28": "Romans 8:28",
    "1 Cor 13": "1 Corinthians 13:1-13",
    "The First Epistle of Paul the Apostle to the Corinthians 13:4": "1 Corinthians 13:4",
    "Gal 5:22": "Galatians 5:22",
    "Eph. 2:8": "Ephesians 2:8",
    "Phil 4:13": "Philippians 4:13",
    "Php 4:13": "Philippians 4:13",
    "1 Thess 5:17": "1 Thessalonians 5:17",
    "2 Tim. 3:16": "2 Timothy 3:16",
    "Philem 6": "Philemon 1:6",
    "Phlm v. 6": "Philemon 1:6",
    "Heb 11:1": "Hebrews 11:1",
    "Jas 1:5": "James 1:5",
    "Jm 1:5": "James 1:5",
    "1 Pt 5:7": "1 Peter 5:7",
    "1 Jn 4:8": "1 John 4:8",
    "I John 4:8": "1 John 4:8",
    "III John": "3 John 1:1-14",
    "Jude 3": "Jude 1:3",
    "Jude 3-5": "Jude 1:3-5",
    "Jude": "Jude 1:1-25",
    "Rev 22:21": "Revelation 22:21",
    "Apoc 22:21": "Revelation 22:21",
    "The Revelation of St. John 1:8": "Revelation 1:8",
    "  Rev\u00a022:21. ": "Revelation 22:21",
}


@pytest.mark.parametrize(("written", "meant"), WRITTEN.items())
def test_what_people_write_is_understood(written: str, meant: str) -> None:
    assert str(parse(written)) == meant


@given(st.sampled_from(VERSES), st.data())
def test_what_is_printed_is_read_back(first: Reference, data: st.DataObject) -> None:
    last = data.draw(st.sampled_from([v for v in VERSES if v.book == first.book and v >= first]))
    passage = Passage(first, last)
    assert parse(str(passage)) == passage
    verses = list(passage.verses)
    assert verses[0] == first
    # A title within the passage is passed over, unless the passage begins with it.
    assert verses[1:] == [v for v in VERSES if first < v <= last and v.verse]


@pytest.mark.parametrize("reference", VERSES[::97], ids=str)
def test_a_verse_is_known_by_every_form_of_its_book(reference: Reference) -> None:
    book = reference.in_book
    for name in (book.name, book.osis, *book.abbreviations):
        assert parse(f"{name} {reference.chapter}:{reference.verse}").first == reference


def test_all_verses_are_the_31102_and_the_titles_of_116_psalms_in_order_of_their_ids() -> None:
    ids = [v.id for v in VERSES]
    assert ids == sorted(ids)
    assert len([v for v in VERSES if v.verse]) == 31_102
    assert {v.book for v in VERSES if not v.verse} == {PSALMS}
    assert len([v for v in VERSES if not v.verse]) == 116
    assert [Reference.from_id(i) for i in ids] == VERSES == sorted(VERSES)
    assert Reference(1, 5, 6).id == 1005006


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Gen 1:1, 3", ["Genesis 1:1", "Genesis 1:3"]),
        ("Gen 1:1-2, 5; 2:3", ["Genesis 1:1-2", "Genesis 1:5", "Genesis 2:3"]),
        ("Gen 1:1; 3", ["Genesis 1:1", "Genesis 3:1-24"]),
        ("Ps 1, 117", ["Psalms 1:1-6", "Psalms 117:1-2"]),
        ("Jude 3, 5; 7", ["Jude 1:3", "Jude 1:5", "Jude 1:7"]),
    ],
)
def test_several_passages_of_a_book_stand_in_a_row(written: str, meant: list[str]) -> None:
    assert [str(passage) for passage in passages(written)] == meant
    with pytest.raises(ConfigError, match=f"is not a passage of the Bible, but {len(meant)}"):
        parse(written)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("Gen 51:1", "Genesis has 50 chapters, there is no chapter 51"),
        ("Gen 49-51", "Genesis has 50 chapters, there is no chapter 51"),
        ("Gen 0:1", "Genesis has 50 chapters, there is no chapter 0"),
        ("Genesis 1:32", "Genesis 1 has 31 verses, there is no verse 32"),
        ("Gen 1:30-32", "Genesis 1 has 31 verses, there is no verse 32"),
        ("Gen 1:1,99", "Genesis 1 has 31 verses, there is no verse 99"),
        ("3 John 15", "3 John 1 has 14 verses, there is no verse 15"),
        ("Jude 2:1", "Jude has 1 chapter, there is no chapter 2"),
        ("Psalm 1:0", r"Psalms 1 has no title \(verse 0\)"),
        ("Genesis 1:0", r"Genesis 1 has no title \(verse 0\)"),
        ("Gen 5:6-2", "it ends before it begins"),
        ("Gensis 1:1", 'there is no book "Gensis"; did you mean Genesis'),
        ("Ez 1:1", 'there is no book "Ez"; did you mean Ezra or Ezekiel'),
        ("see Gen 1:1", 'there is no book "see Gen"; the books are the 66 from Genesis to Revelation'),
        ("Γένεσις 1:1", "the books are the 66"),
        ("Gen 1:1ff", '"1:1ff" is not a chapter and verse'),
        ("Gen 22:1-Ex 1:3", '"22:1-Ex 1:3" is not a chapter and verse'),
        ("Gen 1:", '"1:" is not a chapter and verse'),
        ("Gen 1:1,", '"" is not a chapter and verse'),
        ("Gen " + "9" * 5000, "is not a chapter and verse"),
        ("12:3", "it names no book"),
        ("", "it names no book"),
    ],
)
def test_what_is_no_passage_is_refused_with_the_reason(written: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as refused:
        parse(written)
    assert str(refused.value).startswith(f'"{written}" is not a passage')


@given(st.text(alphabet=st.sampled_from("GenesisPsJude I12390:.,;-–title \t\nvchx"), max_size=24))
def test_anything_else_is_a_passage_or_refused(text: str) -> None:
    try:
        found = passages(text)
    except ConfigError:
        return
    assert found
    assert all(parse(str(passage)) == passage for passage in found)


def test_a_passage_keeps_to_one_book() -> None:
    with pytest.raises(ConfigError, match="in one book"):
        Passage(Reference(1, 50, 26), Reference(2, 1, 1))


@pytest.mark.parametrize("number", [0, 67001001, 1000001, -1])
def test_a_number_that_is_no_verse_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="is no verse of the Bible"):
        Reference.from_id(number)


def test_a_verse_of_another_numbering_is_a_reference_that_does_not_exist_in_english() -> None:
    reference = Reference(29, 4, 1)
    assert str(reference) == "Joel 4:1"
    assert not reference.exists


def test_books_know_name_code_and_testament() -> None:
    song = find_book("Song of Solomon")
    assert (song.number, song.name, song.osis, song.testament, song.chapters) == (22, "Song of Songs", "Song", "old", 8)
    assert find_book("Mal").testament == "old"
    assert find_book("Mt").testament == "new"
    assert [book.number for book in BOOKS] == list(range(1, 67))


def test_the_type_comes_without_the_text() -> None:
    code = "import sys, bibleqa.data.reference; print([m for m in sys.modules if m.startswith('pythonbible_')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
