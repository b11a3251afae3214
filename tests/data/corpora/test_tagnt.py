from pathlib import Path

import pytest
from stepbible_samples import sample, write

from bibleqa.data.corpora import tagnt
from bibleqa.data.corpora.records import Reading, Word
from bibleqa.errors import ConfigError

HEADER = " | ".join(tagnt.HEADER)
ALL = "NA28+NA27+Tyn+SBL+WH+Treg+TR+Byz"
# STEPBible.org, CC BY 4.0.
JOHN = (
    f"Jhn.1.1#01=NKO | Ἐν (En) | In [the] | G1722=PREP | ἐν=in/on/among | {ALL} | | | En | in | #01 | G1722 | ",
    f"Jhn.1.1#02=NKO | ἀρχῇ (archēa) | beginning | G0746=N-DSF | ἀρχή=beginning | {ALL} | | | x | x | #02 | G0746 | ",
    f"Jhn.1.1#03=NKO | ἦν (ēn) | was | G1510=V-IAI-3S | εἰμί=to be | {ALL} | | | x | to be | #03 | G1510_A | G2258",
    f"Jhn.1.1#04=NKO | ὁ (ho) | the | G3588=T-NSM | ὁ=the/this/who | {ALL} | | | la | the | #04»05:G3056 | G3588_A | ",
    f"Jhn.1.1#05=NKO | λόγος, (logos) | Word, | G3056=N-NSM | λόγος=word | {ALL} | | | x | word | #05 | G3056_A | ",
)


def row(
    reference: str = "Col.1.1#01=NKO",
    greek: str = "Παῦλος (Paulos)",
    tags: str = "G3972G=N-NSM-P",
    lemma: str = "Παῦλος=Paul",
) -> str:
    return f"{reference} | {greek} | Paul | {tags} | {lemma} | TR+Byz | | | Pablo | Paul | #01 | G3972 | "


def read(path: Path) -> tuple[list[Word], Reading]:
    reading = Reading(path)
    return list(tagnt.words(path, reading)), reading


@pytest.fixture
def john(tmp_path: Path) -> Path:
    preamble = ("TAGNT Mat-Jhn", "Reference: | Versification as used by NRSV", "# Jhn.1.1 | Ἐν", "#_Translation | In")
    return write(tmp_path / "TAGNT.txt", *preamble, HEADER + " | | | ", *JOHN, " | ", HEADER)


def test_john_1_1(john: Path) -> None:
    words, _ = read(sample("TAGNT_Jhn.txt", john)[0])
    assert words[0] == Word(
        source="tagnt",
        verse=43001001,
        position=1,
        text="Ἐν",
        strongs="G1722",
        lemma="ἐν",
        transliteration="En",
        morphology="PREP",
        gloss="In [the]",
        note=ALL,
    )
    assert [word.strongs for word in words[:5]] == ["G1722", "G746", "G1510", "G3588", "G3056"]
    assert words[4].text == "λόγος,"


@pytest.mark.parametrize(
    ("name", "rows", "words"),
    [("TAGNT_Jhn.txt", 15952, 16008), ("TAGNT_Col.txt", 1628, 1628), ("TAGNT_Jud.txt", 452, 452)],
)
def test_every_row_of_the_samples_is_read(john: Path, name: str, rows: int, words: int) -> None:
    path, whole = sample(name, john)
    found, reading = read(path)
    assert reading.rejects == []
    # More words than rows because of the contractions (κἀγώ, and οὐκέτι tagged as two).
    assert (reading.rows, len(found)) == ((rows, words) if whole else (5, 5))
    assert all(word.text and word.gloss and word.strongs and word.morphology and word.note for word in found)
    assert not any(mark in word.text for word in found for mark in "[]¶()")


def test_verses_are_those_of_the_king_james_version(tmp_path: Path) -> None:
    references = ("Col.1.21#01=NKO", "Col.1.22[1.21]#01=NKO", "Col.1.22[1.21]#02=NKO", "Col.1.22#04=NKO")
    made = write(tmp_path / "x.txt", HEADER, *map(row, references))
    words, _ = read(made)
    assert [(word.verse, word.position) for word in words] == [
        (51001021, 1),
        (51001021, 2),
        (51001021, 3),
        (51001022, 1),
    ]
    words, _ = read(sample("TAGNT_Col.txt", made)[0])
    at_21 = [word for word in words if word.verse == 51001021]
    assert [word.position for word in at_21] == list(range(1, len(at_21) + 1))
    # Other brackets are of Nestle-Aland and the rest.
    words, _ = read(write(tmp_path / "y.txt", HEADER, row("Jhn.7.53{8.1}#01=KO"), row("Act.13.39(13.38)#01=NKO")))
    assert [word.verse for word in words] == [43007053, 44013039]


def test_a_contraction_is_one_word_for_each_number_at_one_place(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.txt",
        HEADER,
        row("Jhn.1.31#01=NKO", "κἀγὼ (kagō)", "G1473=P-1NS + G2532=CONJ", "κἀγώ=and I"),
        row("Jhn.1.31#02=NKO", "οὐκέτι (ouketi)", "G3756=PRT-N + G2089=ADV", "οὐ=no + ἔτι=still"),
        row("Jhn.1.31#03=NKO"),
    )
    words, _ = read(path)
    assert [(w.position, w.strongs, w.morphology, w.lemma, w.text) for w in words] == [
        (1, "G1473", "P-1NS", "", "κἀγὼ"),
        (1, "G2532", "CONJ", "", "κἀγὼ"),
        (2, "G3756", "PRT-N", "οὐ", "οὐκέτι"),
        (2, "G2089", "ADV", "ἔτι", "οὐκέτι"),
        (3, "G3972", "N-NSM-P", "Παῦλος", "Παῦλος"),
    ]


@pytest.mark.parametrize(
    ("greek", "text"),
    [("[[Καὶ (Kai)", "Καὶ"), ("ἁμάρτανε.¶]] (hamartane)", "ἁμάρτανε."), ("ἐγείρεται.¶  (egeiretai)", "ἐγείρεται.")],
)
def test_marks_of_the_editors_are_not_part_of_the_word(tmp_path: Path, greek: str, text: str) -> None:
    words, _ = read(write(tmp_path / "x.txt", HEADER, row(greek=greek)))
    assert words[0].text == text


@pytest.mark.parametrize(("end", "bom"), [("\r\n", False), ("\n", True), ("\r\n", True)])
def test_line_ends_and_byte_order_marks_make_no_difference(tmp_path: Path, end: str, bom: bool) -> None:
    plain, _ = read(write(tmp_path / "a.txt", *JOHN))
    other, _ = read(write(tmp_path / "b.txt", *JOHN, end=end, bom=bom))
    assert len(plain) == 5
    assert other == plain


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        ("Col.1.1#01=NKO | Παῦλος (Paulos) | Paul | G3972", "4 columns instead of 13: the line is truncated"),
        (row(greek="Παῦλος"), "'Παῦλος' is not a Greek word with its transliteration"),
        (row(tags="G3972G"), "'G3972G' is not a number with its grammar"),
        (row(lemma="Παῦλος"), "'Παῦλος' is not a dictionary form with its gloss"),
        (row("Kol.1.1#01=NKO"), "'Kol' is not a book of the Bible"),
    ],
)
def test_what_does_not_parse_is_rejected_with_line_and_reason(tmp_path: Path, damaged: str, reason: str) -> None:
    words, reading = read(write(tmp_path / "x.txt", HEADER, JOHN[0], damaged, JOHN[1]))
    assert len(words) == 2
    assert [(reject.file, reject.line) for reject in reading.rejects] == [("x.txt", 3)]
    assert reason in reading.rejects[0].reason


def test_another_version_of_the_format_is_refused(tmp_path: Path) -> None:
    old = write(tmp_path / "x.txt", "TANTT", "Ref & Type | Greek | dStrongs", JOHN[0])
    with pytest.raises(ConfigError, match=r"x\.txt:2: another version.*Ref & Type \| Greek.*expected Word & Type"):
        read(old)
    # The columns of the Old Testament are others.
    short = write(tmp_path / "y.txt", "Jhn.1.1#01=NKO | Ἐν | En | in | G1722")
    with pytest.raises(ConfigError, match=r"y\.txt:1: .*5 columns, expected 13"):
        read(short)
