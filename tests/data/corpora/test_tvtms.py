from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepbible_samples import sample, write

from bibleqa.data.corpora import tvtms
from bibleqa.data.corpora.records import Reading, VerseMapping
from bibleqa.errors import ConfigError

HEADER = " | ".join([*tvtms.HEADER, "NoteA", "NoteB", "Ancient Versions", "Tests"])
NOTES = " | Opt. | %note% | 5:14a | (Hebrew=5:14a) | Jos.5:14=Exist | | | | "
# STEPBible.org, CC BY 4.0.
JOSHUA = (
    "Eng-KJV+Hebrew+Greek | Jos.5:15 | Jos.5:15 | Keep verse",
    "Latin | Jos.5:14-15 | Jos.5:14 | Concatenation",
    "Latin | Jos.5:14 | Jos.5:14!a | Renumber verse",
    "Latin | Jos.5:15 | Jos.5:14!b | DividedPrev verse",
    "Latin | Jos.5:16 | Jos.5:15 | Renumber verse",
    "Slavonic | Jos.5:16 | Jos.6:1 | Renumber verse",
    "Greek | Jos.9:2 | Jos.9:2; 8:30-35 | Concatenation",
    "Greek | Jos.9:2!a | Jos.8:30 | MovedFrom verse*",
    "Greek | Jos.10:43 | Jos.10:43 | IfEmpty verse",
)


def made(path: Path, *rows: str, header: str = HEADER, end: str = "\n", bom: bool = False) -> Path:
    body = [row + NOTES for row in rows]
    marks = ("TVTMS", "#DataStart(Condensed)", "$Jos.5:15", tvtms.START + " | | ", header, "'====", " | | ")
    return write(path, *marks, *body, tvtms.END + " | | ", "more prose", end=end, bom=bom)


def read(path: Path) -> tuple[list[VerseMapping], Reading]:
    reading = Reading(path)
    return list(tvtms.mappings(path, reading)), reading


def one(tmp_path: Path, *cells: str) -> list[tuple[str, int, str, int, str]]:
    found, reading = read(made(tmp_path / "x.txt", " | ".join(cells)))
    assert reading.rejects == []
    return [(m.tradition, m.number, m.part, m.verse, m.action) for m in found]


def test_the_sample_gives_what_differs(tmp_path: Path) -> None:
    path, whole = sample("TVTMS_expanded_excerpt_verbatim.txt", tmp_path)
    # The excerpt has the rows alone.
    rows = path.read_text(encoding="utf-8").splitlines() if whole else JOSHUA
    found, reading = read(made(tmp_path / "x.txt", *rows))
    assert (reading.rows, reading.rejects) == (9, [])
    assert [(m.tradition, m.number, m.part, m.verse, m.action) for m in found] == [
        ("latin", 6005014, "", 6005014, "Concatenation"),
        ("latin", 6005015, "", 6005014, "Concatenation"),
        ("latin", 6005014, "", 6005014, "Renumber"),
        ("latin", 6005015, "", 6005014, "DividedPrev"),
        ("latin", 6005016, "", 6005015, "Renumber"),
        ("greek", 6009002, "", 6009002, "Concatenation"),
        *[("greek", 6009002, "", 6008000 + verse, "Concatenation") for verse in range(30, 36)],
        ("greek", 6009002, "a", 6008030, "MovedFrom"),
        ("greek", 6010043, "", 6010043, "IfEmpty"),
    ]


def test_psalm_51_maps_to_the_title_and_on(tmp_path: Path) -> None:
    rows = (
        "Hebrew | Psa.51:1-2 | Psa.51:Title | Concatenation",
        "Hebrew | Psa.51:3 | Psa.51:1 | Renumber verse",
        "Latin+Greek | Psa.50:1 | Psa.51:Title | Renumber title",
    )
    found, _ = read(made(tmp_path / "x.txt", *rows))
    assert [(m.tradition, m.number, m.verse) for m in found] == [
        ("hebrew", 19051001, 19051000),
        ("hebrew", 19051002, 19051000),
        ("hebrew", 19051003, 19051001),
        ("latin", 19050001, 19051000),
        ("greek", 19050001, 19051000),
    ]


def test_editions_that_go_their_own_way_are_kept_apart(tmp_path: Path) -> None:
    found = one(tmp_path, "Latin= +Greek2+GreekUndivided*+Bulgarian ", "Psa.9:21", "Psa.10:1", "Renumber verse*")
    assert [mapping[0] for mapping in found] == ["latin", "greek2", "greekundivided"]


@pytest.mark.parametrize(
    "cells",
    [
        ("Eng-KJV+Hebrew", "Gen.1:1", "Gen.1:1", "Keep verse"),
        ("EngTitleSeparate", "Psa.63:Title", "Psa.63:Title", "Psalm title"),
        ("Eng-KJV", "Php.1:16", "Php.1:17", "Renumber verse"),
        ("Bulgarian", "Jos.5:16", "Jos.6:1", "Renumber verse"),
        ("Latin+Greek", "2Es.7:37", "2Es.7:35!b", "DividedPrev verse"),
        ("Greek", "Est.A:17", "ESG.11:2", "Renumber verse"),
        ("Greek", "Psa.151:1", "Ps2.1:1", "Renumber verse"),
        ("Greek", "Exo.38:9-11", "Exo.37:10-15", "Concatenation"),
    ],
)
def test_rows_that_map_nothing_are_read_all_the_same(tmp_path: Path, cells: tuple[str, ...]) -> None:
    assert one(tmp_path, *cells) == []


def test_book_codes_in_any_case_and_parts_of_several_letters(tmp_path: Path) -> None:
    assert one(tmp_path, "Greek", "EXO.37:2!aa", "Exo.36:34", "Renumber verse*") == [
        ("greek", 2037002, "aa", 2036034, "Renumber")
    ]
    assert one(tmp_path, "Greek", "Exo.37:2!0", "Exo.36:9!a", "Renumber verse*") == [
        ("greek", 2037002, "0", 2036009, "Renumber")
    ]


def test_of_a_range_over_chapters_the_ends_are_mapped(tmp_path: Path) -> None:
    found = one(tmp_path, "Greek", "Exo.37:2", "Exo.36:8-37:1", "Concatenation")
    assert [verse for _, _, _, verse, _ in found] == [2036008, 2037001]


def test_rows_that_the_source_repeats_come_once(tmp_path: Path) -> None:
    found, reading = read(made(tmp_path / "x.txt", *["Greek | Exo.37:2!c | Exo.36:10 | Renumber verse*"] * 2))
    assert (len(found), reading.rows) == (1, 2)


@given(st.text())
def test_no_reference_makes_the_parser_fail_otherwise_than_with_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(tvtms._verses(text), list)


@pytest.mark.parametrize(("end", "bom"), [("\r\n", False), ("\n", True), ("\r\n", True)])
def test_line_ends_and_byte_order_marks_make_no_difference(tmp_path: Path, end: str, bom: bool) -> None:
    plain, _ = read(made(tmp_path / "a.txt", *JOSHUA))
    other, _ = read(made(tmp_path / "b.txt", *JOSHUA, end=end, bom=bom))
    assert len(plain) == 14
    assert other == plain


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("Latin | Jos.5.15 | Jos.5:14 | Renumber verse", "'Jos.5.15' is not a reference"),
        ("Latin | Jos.5:15-14 | Jos.5:14 | Concatenation", "'Jos.5:15-14' ends before it begins"),
        ("Latin | Jos.5:15 | Absent | Renumber verse", "'Absent' is not a reference"),
        ("Latin | Jxs.5:15 | Jos.5:14 | Renumber verse", "'Jxs' is not a book of the Bible"),
        ("Latin | 5:15 | Jos.5:14 | Renumber verse", "'5:15' is not a reference"),
        ("Latin | | Jos.5:14 | Renumber verse", "'' is not a reference"),
        (" | Jos.5:15 | Jos.5:14 | Renumber verse", "no tradition for Jos.5:15"),
    ],
)
def test_what_does_not_parse_is_rejected_with_line_and_reason(tmp_path: Path, row: str, reason: str) -> None:
    found, reading = read(made(tmp_path / "x.txt", JOSHUA[4], row, JOSHUA[7]))
    assert [m.tradition for m in found] == ["latin", "greek"]
    assert [(reject.file, reject.line) for reject in reading.rejects] == [("x.txt", 9)]
    assert reason in reading.rejects[0].reason


def test_a_truncated_row_is_rejected(tmp_path: Path) -> None:
    path = write(tmp_path / "x.txt", tvtms.START, HEADER, JOSHUA[4], tvtms.END)
    _, reading = read(path)
    assert [(reject.line, reject.reason) for reject in reading.rejects] == [
        (3, "4 columns instead of 9: the line is truncated")
    ]


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"x\.txt: ends without #DataEnd\(Expanded\); it is truncated"):
        read(write(tmp_path / "x.txt", tvtms.START, HEADER, JOSHUA[4] + NOTES))
    with pytest.raises(ConfigError, match=r"y\.txt: no #DataStart\(Expanded\)"):
        read(write(tmp_path / "y.txt", "TVTMS", HEADER, JOSHUA[4] + NOTES))
    with pytest.raises(ConfigError, match=r"z\.txt: nothing between #DataStart"):
        read(write(tmp_path / "z.txt", tvtms.START, tvtms.END))


def test_another_version_of_the_format_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "x.txt", *JOSHUA, header=HEADER.replace("StandardRef", "NRSVRef"))
    with pytest.raises(ConfigError, match=r"x\.txt:5: another version.*NRSVRef.*expected.*StandardRef"):
        read(path)
