from pathlib import Path

import pytest
from stepbible_samples import sample, write

from bibleqa.data.corpora import stepbible_lexicon
from bibleqa.data.corpora.records import LexiconEntry, Reading, Strongs
from bibleqa.errors import ConfigError

TBESH_HEADER = "eStrong# | dStrong | uStrong | Hebrew | Transliteration | Morph | Gloss | Meaning"
TBESG_HEADER = "eStrong | dStrong | uStrong | Greek | Transliteration | Morph | Gloss | Abbott-Smith lexicon (AS)"
# STEPBible.org, CC BY 4.0, but for the meanings of the Hebrew ones, which are not.
TBESH = (
    "H0001 | H0001G = | H0001G | אָב | av | H:N-M | father | not ours",
    "H0002 | H0002 = in Aramaic of | H0001G | אַב | av | A:N-M | father | not ours",
    "H2617a | H2617A = | H2617A | חֶ֫סֶד | che.sed | H:N-M | kindness | not ours",
    "H2617b | H2617B = | H2617B | חֶ֫סֶד | che.sed | H:N-M | shame | not ours",
    "H9003 | H9003 = | H9003 | /ב | b | Prefix | in/on/with | not ours",
)
TBESG = (
    "G0004 | G0004 = | G0004 | ἀβαρής | abarēs | G:A | not burdensome |  <b>αβαρής</b>, -ές <BR /> (βαρός), "
    "<BR /><b>without weight</b>; metaphorically (MM, <i>VGT</i>, see word) <b>not burdensome</b>: "
    "<ref='2Co.11.9.'>2Co.11:9.</ref>†<BR /> (AS)",
    "G0006 | G0006 = the Greek of | H1893 | Ἄβελ | Abel | N:N-M-P | Abel | <b>Ἄβελ</b> <BR />__1. A &amp; B",
)


def read(path: Path) -> tuple[list[LexiconEntry], Reading]:
    reading = Reading(path)
    return list(stepbible_lexicon.entries(path, reading)), reading


@pytest.fixture
def tbesh(tmp_path: Path) -> Path:
    preamble = ("TBESH", "=====", "eStrong# | These Extended Strong Numbers", "Gloss | by scholars", "")
    return write(tmp_path / "TBESH.txt", *preamble, TBESH_HEADER, "", *TBESH, "  ", bom=True)


def test_every_row_of_tbesh_is_read(tbesh: Path) -> None:
    path, whole = sample("TBESH.txt", tbesh)
    entries, reading = read(path)
    assert reading.rejects == []
    assert reading.rows == len(entries) == (11682 if whole else 5)
    assert {entry.source for entry in entries} == {"tbesh"}
    assert all(entry.lemma and entry.gloss and entry.morphology for entry in entries)
    # One entry for each number of the tagged texts.
    numbers = [(entry.strongs, entry.suffix) for entry in entries]
    assert len(set(numbers)) == len(numbers)


def test_the_meanings_of_online_bible_are_left_out(tbesh: Path) -> None:
    entries, _ = read(sample("TBESH.txt", tbesh)[0])
    assert {entry.definition for entry in entries} == {""}


def test_h2617_is_there_as_two_homonyms_only(tbesh: Path) -> None:
    entries, _ = read(sample("TBESH.txt", tbesh)[0])
    found = [(entry.suffix, entry.gloss, entry.lemma) for entry in entries if entry.strongs == "H2617"]
    assert found == [("A", "kindness", "חֶ֫סֶד"), ("B", "shame", "חֶ֫סֶד")]


def test_prefixes_are_entries_but_no_lexemes(tbesh: Path) -> None:
    entries, _ = read(sample("TBESH.txt", tbesh)[0])
    prefix = next(entry for entry in entries if entry.strongs == "H9003")
    assert prefix.gloss == "in/on/with"
    assert not Strongs.parse(prefix.strongs).is_lexeme


def test_tbesg_has_its_meanings_as_plain_text(tmp_path: Path) -> None:
    entries, reading = read(write(tmp_path / "TBESG.txt", "TBESG", TBESG_HEADER, "=====", "", *TBESG))
    assert reading.rejects == []
    assert entries[0] == LexiconEntry(
        source="tbesg",
        strongs="G4",
        suffix="",
        lemma="ἀβαρής",
        transliteration="abarēs",
        gloss="not burdensome",
        definition="αβαρής, -ές (βαρός), without weight; metaphorically (MM, VGT, see word) not burdensome: "
        "2Co.11:9.† (AS)",
        morphology="G:A",
    )
    assert (entries[1].strongs, entries[1].definition) == ("G6", "Ἄβελ 1. A & B")


@pytest.mark.parametrize(("end", "bom"), [("\r\n", False), ("\n", True), ("\r\n", True)])
def test_line_ends_and_byte_order_marks_make_no_difference(tmp_path: Path, end: str, bom: bool) -> None:
    plain, _ = read(write(tmp_path / "a.txt", TBESH_HEADER, *TBESH))
    other, _ = read(write(tmp_path / "b.txt", TBESH_HEADER, *TBESH, end=end, bom=bom))
    assert len(plain) == 5
    assert other == plain


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        ("H0003 | H0003 = | H0003 | אֵב", "4 columns instead of 8: the line is truncated"),
        ("H0003 | X3 = | H0003 | אֵב | ev | H:N-M | greenery | x", "'X3' is not a Strong's number"),
        ("H0003 | H0003 = | H0003 | אֵב | ev | H:N-M | | x", "H3 has no gloss"),
        ("H0003 | H0003 = | H0003 | | ev | H:N-M | greenery | x", "H3 has no lemma"),
    ],
)
def test_what_does_not_parse_is_rejected_with_line_and_reason(tmp_path: Path, damaged: str, reason: str) -> None:
    entries, reading = read(write(tmp_path / "x.txt", TBESH_HEADER, TBESH[0], damaged, TBESH[1]))
    assert [entry.strongs for entry in entries] == ["H1", "H2"]
    assert [(reject.line, reason in reject.reason) for reject in reading.rejects] == [(3, True)]


def test_another_version_of_the_format_is_refused(tmp_path: Path) -> None:
    old = write(tmp_path / "x.txt", "TBESH", TBESH_HEADER.replace("dStrong | uStrong", "BDB | dStrong"), *TBESH)
    with pytest.raises(ConfigError, match=r"x\.txt:2: another version.*eStrong# \| BDB.*expected eStrong# \| dStrong"):
        read(old)


@pytest.mark.parametrize("rows", [(), TBESH, ("TBESH", "eStrong# | These Extended Strong Numbers")])
def test_a_file_without_header_is_refused(tmp_path: Path, rows: tuple[str, ...]) -> None:
    with pytest.raises(
        ConfigError, match=r"x\.txt: no row with the names of the columns, expected eStrong# \| dStrong"
    ):
        read(write(tmp_path / "x.txt", *rows))
