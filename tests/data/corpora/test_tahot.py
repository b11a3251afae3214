from collections import Counter
from pathlib import Path

import pytest
from stepbible_samples import sample, tabbed, write

from bibleqa.data.corpora import tahot
from bibleqa.data.corpora.records import Reading, VerseMapping, Word
from bibleqa.errors import ConfigError

HEADER = " | ".join(tahot.HEADER)
# STEPBible.org, CC BY 4.0.
GENESIS = (
    "Gen.1.1#01=L | בְּ/רֵאשִׁ֖ית | be./re.Shit | in/ beginning | H9003/{H7225G} | HR/Ncfsa | | | H7225G | | | H9003=ב=in",
    "Gen.1.1#02=L | בָּרָ֣א | ba.Ra' | he created | {H1254A} | HVqp3ms | | | H1254A | | | {H1254A=בָּרָא=to create}",
    "Gen.1.1#03=L | אֱלֹהִ֑ים | 'E.lo.Him | God | {H0430G} | HNcmpa | | | H0430G | | | {H0430G=אֱלֹהִים=God}",
    "Gen.1.1#04=L | אֵ֥ת | 'et | <obj.> | {H0853} | HTo | | | H0853_A | | | {H0853=אֵת=[Obj.]}",
    "Gen.1.1#05=L | הַ/שָּׁמַ֖יִם | ha./sha.Ma.yim | the/ heavens | H9009/{H8064} | HTd/Ncmpa | | | H8064 | | | x",
    "Gen.1.1#06=L | וְ/אֵ֥ת | ve./'Et | and/ <obj.> | H9002/{H0853} | HC/To | | | H0853_B | | | H9002=ו=and",
    r"Gen.1.1#07=L | הָ/אָֽרֶץ\׃ | ha./'A.retz | the/ earth | H9009/{H0776G}\H9016 | HTd/Ncfsa | | | H0776G | | | x",
)
NUMBERS = ["H7225", "H1254", "H430", "H853", "H8064", "H853", "H776"]


def row(reference: str, hebrew: str = "אָב", tags: str = "{H0001}", gloss: str = "father", variant: str = "") -> str:
    return f"{reference} | {hebrew} | x | {gloss} | {tags} | HNcmsa | {variant} | | H0001 | | | "


def read(path: Path) -> tuple[list[Word], Reading]:
    reading = Reading(path)
    return list(tahot.words(path, reading)), reading


def one(tmp_path: Path, *parts: str) -> Word:
    words, reading = read(write(tmp_path / "x.txt", HEADER, row(*parts)))
    assert not reading.rejects
    assert len(words) == 1
    return words[0]


@pytest.fixture
def genesis(tmp_path: Path) -> Path:
    # As published: a preamble, the verse interlinear, then the header before every verse.
    preamble = ("TAHOT Gen-Deu", "FIELD DESCRIPTIONS: | ", "Hebrew | Full Hebrew | ", " | ", "# Gen.1.1 | be.re.Shit")
    return write(tmp_path / "TAHOT.txt", *preamble, HEADER + " | | | ", *GENESIS, " | ", "# Gen.1.2", HEADER)


@pytest.mark.parametrize("name", ["TAHOT_Gen.txt", "TAHOT_excerpt_verbatim.txt"])
def test_genesis_1_1_has_seven_words_with_their_numbers(genesis: Path, name: str) -> None:
    words, reading = read(sample(name, genesis)[0])
    verse = [word for word in words if word.verse == 1001001]
    assert [word.strongs for word in verse] == NUMBERS
    assert [word.suffix for word in verse] == ["G", "A", "G", "", "", "", "G"]
    assert [word.position for word in verse] == [1, 2, 3, 4, 5, 6, 7]
    assert [word.affixes for word in verse] == [("H9003",), (), (), (), ("H9009",), ("H9002",), ("H9009",)]
    assert [word.gloss for word in verse][:3] == ["in beginning", "he created", "God"]
    assert (verse[0].text, verse[6].text) == ("בְּרֵאשִׁ֖ית", "הָאָֽרֶץ")
    assert (verse[0].transliteration, verse[0].morphology) == ("be.re.Shit", "HR/Ncfsa")
    assert not reading.rejects


@pytest.mark.parametrize(
    ("name", "rows", "words"),
    [("TAHOT_Gen.txt", 20614, 20615), ("TAHOT_Psa.txt", 19595, 19599), ("TAHOT_Rut.txt", 1294, 1295)],
)
def test_every_row_of_the_samples_is_read(genesis: Path, name: str, rows: int, words: int) -> None:
    path, whole = sample(name, genesis)
    found, reading = read(path)
    assert reading.rejects == []
    # More words than rows where two are written as one (Genesis 30:11), less where one is not read (Ruth 3:12).
    assert (reading.rows, len(found)) == ((rows, words) if whole else (7, 7))
    assert all(word.text and word.gloss and (word.strongs or word.affixes) for word in found)
    assert not any(mark in word.text + word.gloss for word in found for mark in "/\\")
    assert all(int(word.strongs[1:]) < 9000 for word in found if word.strongs)


@pytest.mark.parametrize("psalm", [3, 51])
def test_titles_of_psalms_are_verse_0(tmp_path: Path, psalm: int) -> None:
    made = write(
        tmp_path / "x.txt", HEADER, row(f"Psa.{psalm}.0({psalm}.1)#01=L"), row(f"Psa.{psalm}.1({psalm}.2)#01=L")
    )
    words, _ = read(sample("TAHOT_Psa.txt", made)[0])
    verses = [word.verse for word in words if word.verse // 1000 == 19000 + psalm]
    assert verses[0] == 19_000_000 + psalm * 1000
    assert verses == sorted(verses)


def test_the_numbering_of_the_hebrew_bible_is_what_stands_in_brackets(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.txt",
        HEADER,
        row("Psa.51.0(51.1)#01=L"),
        row("Psa.51.0(51.2)#05=L"),
        row("Psa.51.1(51.3)#01=L"),
        row("Psa.51.1(51.3)#02=L"),
        row("Isa.63.19#01=L"),
        row("Isa.64.1(63.19)#10=L"),
        row("Isa.64.2(64.1)#01=L"),
        row("Isa.65.1#01=L"),
    )
    reading = Reading(path)
    assert list(tahot.numbering(path, reading)) == [
        VerseMapping("hebrew", 19051001, "", 19051000, "Renumber"),
        VerseMapping("hebrew", 19051002, "", 19051000, "Renumber"),
        VerseMapping("hebrew", 19051003, "", 19051001, "Renumber"),
        VerseMapping("hebrew", 23063019, "a", 23063019, "Renumber"),
        VerseMapping("hebrew", 23063019, "b", 23064001, "Renumber"),
        VerseMapping("hebrew", 23064001, "", 23064002, "Renumber"),
    ]
    assert reading.rows == 8


def test_variants_are_in_the_note(tmp_path: Path) -> None:
    assert one(tmp_path, "Gen.1.1#01=L").note == ""
    assert one(tmp_path, "Gen.8.17#14=Q(k)").note == "Q(k)"
    assert one(tmp_path, "Gen.1.1#01=L(b)").note == "L(b)"
    variant = one(tmp_path, "Gen.9.21#07=Q(K)", "אָב", "{H0001}", "father", 'K= \'av (אַב) "father"')
    assert variant.note == 'Q(K): K= \'av (אַב) "father"'


def test_extra_words_take_the_next_place(tmp_path: Path) -> None:
    words, _ = read(write(tmp_path / "x.txt", *(row(f"Gen.4.8#{number}") for number in ("05=L", "0501=X", "06=L"))))
    assert [(word.position, word.note) for word in words] == [(1, ""), (2, "X"), (3, "")]


def test_suffixes_are_affixes_even_in_braces(tmp_path: Path) -> None:
    for tags in ("H9005/{H9031}", "H9005/H9031"):
        word = one(tmp_path, "Sng.8.12#05=L", "לְ/ךָ֙", tags, "[belong] to/ you")
        assert (word.text, word.strongs, word.affixes, word.gloss) == ("לְךָ֙", "", ("H9005", "H9031"), "[belong] to you")


def test_two_words_written_as_one_share_their_place(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.txt", HEADER, row("Gen.30.11#03=Q(K)", "בָּ֣א//גָ֑ד", "{H0935G}//{H1409}", "it has come//good fortune")
    )
    words, _ = read(path)
    assert [(word.strongs, word.suffix, word.position) for word in words] == [("H935", "G", 1), ("H1409", "", 1)]
    assert {(word.text, word.gloss) for word in words} == {("בָּ֣א גָ֑ד", "it has come good fortune")}


@pytest.mark.parametrize(
    ("hebrew", "text"),
    [
        (r"הָ/אָֽרֶץ\׃", "הָאָֽרֶץ"),
        (r"אֲשֶׁ֤ר\׀", "אֲשֶׁ֤ר"),
        (r"צֽוּר\׃\ \פ", "צֽוּר"),
        (r"אֶת\־", "אֶת"),
        ("מַה/־/זֶּ֣ה", "מַה־זֶּ֣ה"),
        (r"כְּדָרְ\־לָעֹ֔מֶר", "כְּדָרְ־לָעֹ֔מֶר"),
        (r"פְּדָה/ /צֽוּר\׃\ \פ", "פְּדָה צֽוּר"),
    ],
)
def test_punctuation_is_not_part_of_the_word(tmp_path: Path, hebrew: str, text: str) -> None:
    assert one(tmp_path, "Gen.1.1#01=L", hebrew).text == text


def test_a_word_written_but_not_read_gives_none(tmp_path: Path) -> None:
    rows = (row("Rut.3.12#04=L"), "Rut.3.12#05=Q(K) | | [/] | [ ] | | | | | | | | ", row("Rut.3.12#06=L"))
    words, reading = read(write(tmp_path / "x.txt", HEADER, *rows))
    assert [word.position for word in words] == [1, 2]
    assert (reading.rows, reading.rejects) == (3, [])


@pytest.mark.parametrize(("end", "bom"), [("\r\n", False), ("\n", True), ("\r\n", True)])
def test_line_ends_and_byte_order_marks_make_no_difference(tmp_path: Path, end: str, bom: bool) -> None:
    plain, _ = read(write(tmp_path / "a.txt", *GENESIS))
    other, _ = read(write(tmp_path / "b.txt", *GENESIS, end=end, bom=bom))
    assert len(plain) == 7
    assert other == plain


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        ("Gen.1.1#03=L | אֱלֹהִ֑ים | 'E.lo", "3 columns instead of 12: the line is truncated"),
        (row("Gen.1.99999#03=L"), "Gen has no 1:99999"),
        (row("Gem.1.1#03=L"), "'Gem' is not a book of the Bible"),
        (row("Gen.1.1#03=L", "אָב", "H0001"), "the number of a word outside of braces"),
        (row("Gen.1.1#03=L", "אָב", ""), "'' has no Strong's number"),
        (row("Gen.1.1#03=L", ""), "Strong's numbers without a Hebrew word"),
        ("garbage", "1 columns instead of 12"),
    ],
)
def test_what_does_not_parse_is_rejected_with_line_and_reason(tmp_path: Path, damaged: str, reason: str) -> None:
    words, reading = read(write(tmp_path / "x.txt", HEADER, GENESIS[0], damaged, GENESIS[1]))
    assert [word.strongs for word in words] == ["H7225", "H1254"]
    assert [(reject.file, reject.line) for reject in reading.rejects] == [("x.txt", 3)]
    assert reason in reading.rejects[0].reason
    assert reading.rows == 3


def test_a_truncated_last_line_is_rejected(tmp_path: Path, genesis: Path) -> None:
    path = sample("TAHOT_Rut.txt", write(tmp_path / "x.txt", *GENESIS))[0]
    cut = tmp_path / "cut.txt"
    text = path.read_bytes().rstrip()
    cut.write_bytes(text[: text.rindex(b"\n") + 40])
    _, reading = read(cut)
    assert [reject.line for reject in reading.rejects] == [reading.rows]
    assert "truncated" in reading.rejects[0].reason


@pytest.mark.parametrize("rows", [(), ("TAHOT Gen-Deu", "Hebrew | Full Hebrew")])
def test_a_file_without_data_rows_is_refused(tmp_path: Path, rows: tuple[str, ...]) -> None:
    _, reading = read(write(tmp_path / "x.txt", *rows))
    with pytest.raises(ConfigError, match=r"x\.txt: no data rows"):
        reading.check(0.001)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            ("preamble", "Heb (&Eng) Ref & Type | Hebrew | Transliteration | English translation", GENESIS[0]),
            r"x\.txt:2: another version.*Heb \(&Eng\) Ref & Type.*expected Eng \(Heb\) Ref & Type",
        ),
        ((HEADER.replace("dStrongs | Grammar", "Grammar | dStrongs"),), r"x\.txt:1: .*Grammar \| dStrongs"),
        (("Gen.1.1#01=L | בְּ/רֵאשִׁ֖ית | in/ beginning | H9003/{H7225G}",), r"x\.txt:1: .*4 columns, expected 12"),
    ],
)
def test_another_version_of_the_format_is_refused(tmp_path: Path, rows: tuple[str, ...], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read(write(tmp_path / "x.txt", *rows))


def test_another_encoding_is_refused_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("\n".join(map(tabbed, [HEADER, *GENESIS])).encode("iso-8859-8", errors="ignore"))
    with pytest.raises(ConfigError, match=r"x\.txt:2: not UTF-8"):
        read(path)


def test_places_are_counted_without_gaps(genesis: Path) -> None:
    for name in ("TAHOT_Gen.txt", "TAHOT_Psa.txt", "TAHOT_Rut.txt"):
        words, _ = read(sample(name, genesis)[0])
        places: Counter[int] = Counter()
        for word in words:
            assert word.position in (places[word.verse], places[word.verse] + 1)
            places[word.verse] = word.position
