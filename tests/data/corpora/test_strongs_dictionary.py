import re
import struct
import time
import zlib
from pathlib import Path

import pytest

from bibleqa.data.corpora import strongs_dictionary
from bibleqa.data.corpora.records import LexiconEntry, Reading
from bibleqa.data.corpora.strongs_dictionary import Language, entries
from bibleqa.errors import ConfigError


@pytest.fixture(scope="module")
def hebrew(sword_folder: Path) -> dict[str, LexiconEntry]:
    return read(sword_folder, "hebrew", 8_675)


@pytest.fixture(scope="module")
def greek(sword_folder: Path) -> dict[str, LexiconEntry]:
    return read(sword_folder, "greek", 5_624)


def read(folder: Path, language: Language, rows: int) -> dict[str, LexiconEntry]:
    reading = Reading(folder)
    began = time.process_time()
    found = list(entries(folder, language, reading))
    assert time.process_time() - began < 5
    assert (reading.rows, reading.rejects) == (rows, [])
    return {entry.strongs: entry for entry in found}


def test_every_number_has_its_entry(hebrew: dict[str, LexiconEntry], greek: dict[str, LexiconEntry]) -> None:
    assert list(hebrew) == [f"H{number}" for number in range(1, 8_675)]
    assert list(greek) == [f"G{number}" for number in range(1, 5_625)]


def test_unused_numbers_have_no_lemma(greek: dict[str, LexiconEntry]) -> None:
    unused = [entry for entry in greek.values() if not entry.lemma]
    assert [entry.strongs for entry in unused] == ["G2717", *(f"G{number}" for number in range(3203, 3303))]
    assert {(entry.definition, entry.gloss, entry.kjv) for entry in unused} == {("Not Used", "", "")}


def test_every_word_is_in_its_letters(hebrew: dict[str, LexiconEntry], greek: dict[str, LexiconEntry]) -> None:
    assert not [e for e in hebrew.values() if not re.fullmatch(r"[\u05b0-\u05ea\u05be \u200d]+", e.lemma)]
    letters = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff \u2010’()]+")
    assert not [e for e in greek.values() if e.lemma and not letters.fullmatch(e.lemma)]
    everything = [*hebrew.values(), *greek.values()]
    assert not [e for e in everything if re.search(r"[\u0370-\u05ff\u1f00-\u1fff]", e.transliteration)]


def test_no_trace_of_markup_is_left(hebrew: dict[str, LexiconEntry], greek: dict[str, LexiconEntry]) -> None:
    for entry in (*hebrew.values(), *greek.values()):
        for text in (entry.lemma, entry.transliteration, entry.gloss, entry.definition, entry.kjv):
            assert text == " ".join(text.split())
            assert not re.search(r"[<>{}\x00-\x1f]| ,|[HG]0\d|[a-z]6|&\w+;", text), entry


def test_all_but_a_few_have_gloss_and_renderings(
    hebrew: dict[str, LexiconEntry], greek: dict[str, LexiconEntry]
) -> None:
    assert [e.strongs for e in hebrew.values() if not e.gloss] == ["H1882"]
    assert [e.strongs for e in greek.values() if e.lemma and not e.gloss] == []
    assert [e.strongs for e in hebrew.values() if not e.kjv] == ["H1882", "H2579", "H4311", "H5263", "H8204"]
    assert [e.strongs for e in greek.values() if e.lemma and not e.kjv] == ["G4452"]
    long = [e for e in (*hebrew.values(), *greek.values()) if len(e.gloss.split()) > 3]
    assert len(long) < 25


def test_a_hebrew_entry(hebrew: dict[str, LexiconEntry]) -> None:
    assert hebrew["H1"] == LexiconEntry(
        source="strongs",
        strongs="H1",
        suffix="",
        lemma="אב",
        transliteration="'âb",
        gloss="father",
        definition="A primitive word; father in a literal and immediate, or figurative and remote application. "
        'Compare names in "Abi-"',
        kjv="chief, (fore-) father ([-less]), X patrimony, principal",
    )


def test_a_greek_entry(greek: dict[str, LexiconEntry]) -> None:
    assert greek["G25"] == LexiconEntry(
        source="strongs",
        strongs="G25",
        suffix="",
        lemma="ἀγαπάω",
        transliteration="agapáō",
        gloss="love",
        definition="perhaps from ἄγαν ágan (much) [or compare H5689]; to love (in a social or moral sense). "
        "Compare G5368",
        kjv="(be-)love(-ed)",
    )


@pytest.mark.parametrize(
    ("number", "lemma", "gloss"),
    [
        ("H430", "אלהים", "God"),
        ("H3068", "יהוה", "Jehovah"),
        ("H2617", "חסד", "kindness"),
        ("H1254", "בּרא", "create"),
        ("H776", "ארץ", "earth"),
        # Etymology, here "Ashtaroth of (the) double horns", is no meaning of the name.
        ("H6255", "עשׁתּרת קרנים", "Ashteroth Karnaim"),
        ("H7091", "קפּוז", "arrow snake"),
        # Several spellings, listed from right to left.
        ("H859", "אתּה", "thou"),
        ("H4480", "מן", "from"),
        # Every field one place too far.
        ("H5019", "נבוּכדנאצּר", "Nebukadnetstsar"),
        ("H2200", "זעק", "make an outcry"),
    ],
)
def test_hebrew_words(hebrew: dict[str, LexiconEntry], number: str, lemma: str, gloss: str) -> None:
    assert (hebrew[number].lemma, hebrew[number].gloss) == (lemma, gloss)


def test_transliteration_and_damaged_letters(hebrew: dict[str, LexiconEntry]) -> None:
    assert hebrew["H5019"].transliteration == "nebûkadne'tstsar"
    assert hebrew["H1834"].transliteration == "dammeśeq"
    assert "(Psa. 68:23)" in hebrew["H4482"].kjv
    assert "strengthen, cure, help, repair, fortify)" in hebrew["H2388"].definition


@pytest.mark.parametrize(
    ("number", "lemma", "gloss"),
    [
        ("G26", "ἀγάπη", "love"),
        ("G2", "Ἀαρών", "Aaron"),
        ("G3588", "ὁ", "the"),
        ("G5485", "χάρις", "graciousness"),
        ("G2258", "ἦν", "I was"),
        ("G4561", "σάρξ", "flesh"),
    ],
)
def test_greek_words(greek: dict[str, LexiconEntry], number: str, lemma: str, gloss: str) -> None:
    assert (greek[number].lemma, greek[number].gloss) == (lemma, gloss)


@pytest.mark.parametrize("ending", ["idx", "dat", "zdx", "zdt"])
@pytest.mark.parametrize("left", [0, 7, 0.5, -100])
def test_a_truncated_file_is_named(damaged: Path, ending: str, left: float) -> None:
    file = damaged / f"modules/lexdict/zld/strongsgreek/dict.{ending}"
    content = file.read_bytes()
    # Half an index ends between two entries: nothing but their number tells.
    file.write_bytes(content[: len(content) // 16 * 8 if left == 0.5 else int(left)])
    with pytest.raises(ConfigError, match=rf"dict\.{ending}: .*truncated"):
        list(entries(damaged, "greek", Reading(damaged)))


def test_damaged_blocks_are_named(damaged: Path) -> None:
    file = damaged / "modules/lexdict/zld/strongshebrew/dict.zdt"
    content = bytearray(file.read_bytes())
    content[1000:1100] = bytes(100)
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"dict\.zdt: block 0 cannot be unpacked"):
        list(entries(damaged, "hebrew", Reading(damaged)))


def test_a_missing_file_is_named(damaged: Path) -> None:
    (damaged / "modules/lexdict/zld/strongshebrew/dict.zdx").unlink()
    with pytest.raises(ConfigError, match=r"dict\.zdx is missing"):
        list(entries(damaged, "hebrew", Reading(damaged)))


def dictionary(folder: Path, texts: dict[str, bytes], place: tuple[int, int] | None = None) -> None:
    """Puts a dictionary of these entries, in one block, in the place of the Greek one."""
    index, keys, table, body = b"", b"", b"", b""
    start = 4 + 8 * len(texts)
    for number, (key, text) in enumerate(texts.items()):
        entry = key.encode() + b"\r\n" + struct.pack("<II", *(place or (0, number)))
        index, keys = index + struct.pack("<II", len(keys), len(entry)), keys + entry
        table, body = table + struct.pack("<II", start + len(body), len(text) + 1), body + text + b"\0"
    packed = zlib.compress(struct.pack("<I", len(texts)) + table + body)
    contents = {"idx": index, "dat": keys, "zdx": struct.pack("<II", 0, len(packed)), "zdt": packed}
    for ending, content in contents.items():
        (folder / f"modules/lexdict/zld/strongsgreek/dict.{ending}").write_bytes(content)


def alpha(number: str = "1", definition: str = "<def><orig>of Hebrew origin;</orig> first:--Alpha.</def>") -> bytes:
    forms = '<orth>Α</orth><orth type="writing">*A</orth><orth rend="bold" type="trans">A</orth>'
    return f'<entryFree n="{number}">{forms}<pron>al-fah</pron>{definition}</entryFree>'.encode()


@pytest.mark.parametrize("place", [(0, 1), (0, 4_000_000_000)])
def test_an_index_that_leads_nowhere_is_refused(damaged: Path, place: tuple[int, int]) -> None:
    dictionary(damaged, {"00001": alpha()}, place)
    with pytest.raises(ConfigError, match=r"dict\.dat: b'00001' leads to entry \d+ of 1 in block 0"):
        list(entries(damaged, "greek", Reading(damaged)))


def test_an_index_to_a_block_that_is_not_there_is_refused(damaged: Path) -> None:
    dictionary(damaged, {"00001": alpha()}, (1, 0))
    with pytest.raises(ConfigError, match=r"dict\.zdx: has no block 1"):
        list(entries(damaged, "greek", Reading(damaged)))


@pytest.mark.parametrize(
    ("key", "content", "reason"),
    [
        ("00002", b"@LINK 00001", "entry 2 is broken"),
        ("00002", alpha("2")[:-5], "entry 2 is broken"),
        ("00002", alpha("2").replace(b"first", b"\xff"), "entry 2 is broken"),
        ("00002", alpha("3"), "entry 2 calls itself 3"),
        ("00002", alpha("2", "<table/>"), "entry 2: <table> is an unknown tag"),
        ("00002", b'<entryFree n="2"><def>nothing else</def></entryFree>', "entry 2 does not begin with the word"),
        ("00002", alpha("2").replace("Α".encode(), b" "), "entry 2 has no word"),
        ("alpha", alpha("2"), "the key b'alpha' is no number"),
        ("1", alpha("1", "<def>other</def>"), "a second entry of the number 1"),
    ],
)
def test_an_entry_of_unknown_structure_is_a_reject(
    damaged: Path, monkeypatch: pytest.MonkeyPatch, key: str, content: bytes, reason: str
) -> None:
    monkeypatch.setitem(strongs_dictionary.ENTRIES, "greek", 3)
    dictionary(damaged, {"00001": alpha(), key: content, "00003": alpha("3")})
    reading = Reading(damaged)
    assert [entry.strongs for entry in entries(damaged, "greek", reading)] == ["G1", "G3"]
    assert (reading.rows, reading.rejects[0].line) == (3, 2)
    assert reason in reading.rejects[0].reason
