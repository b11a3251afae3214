import re
import shutil
import struct
import time
import zlib
from collections import Counter
from itertools import takewhile
from pathlib import Path

import pytest

from bibleqa.data.corpora import inflected, strongs_dictionary, sword
from bibleqa.data.corpora.records import Reading, Word
from bibleqa.data.kjv import kjv
from bibleqa.errors import ConfigError


@pytest.fixture(scope="module")
def reading(sword_folder: Path) -> Reading:
    return Reading(sword_folder)


@pytest.fixture(scope="module")
def words(sword_folder: Path, reading: Reading) -> list[Word]:
    began = time.process_time()
    found = list(sword.words(sword_folder, reading))
    # 4 s on two cores; without keeping the unpacked book it takes 45.
    assert time.process_time() - began < 30
    return found


def of(words: list[Word], verse: int) -> list[tuple[int, str, str]]:
    return [(word.position, word.text, word.strongs) for word in words if word.verse == verse]


def test_every_verse_and_every_tag_is_read(words: list[Word], reading: Reading) -> None:
    assert (reading.rows, reading.rejects, len(words)) == (31_102, [], 349_308)
    known = {verse.id for verse in kjv().verses}
    assert {word.verse for word in words if word.verse % 1000} <= known
    # A verse in whose Greek or Hebrew no word is tagged.
    assert len(known - {word.verse for word in words}) == 3
    assert sum(word.verse % 1000 == 0 for word in words) == 424


def test_words_carry_what_the_module_gives_and_no_more(words: list[Word]) -> None:
    assert {word.source for word in words} == {"kjv"}
    assert {(word.suffix, word.lemma, word.morphology, word.gloss, word.note) for word in words} == {("",) * 5}
    assert all(re.fullmatch(r"[HG][1-9]\d*", word.strongs) for word in words)
    assert all((word.strongs[0] == "H") == (word.verse < 40_000_000) for word in words)
    assert not [word for word in words if re.search(r"[^A-Za-z’æÆ -]", word.text)]


def test_words_stand_in_order_and_are_numbered_from_one(words: list[Word]) -> None:
    places = [(word.verse, word.position) for word in words]
    assert places == sorted(places)
    # The position of a verse's last word is how many it has.
    assert dict(places) == Counter(verse for verse, _ in places)


def test_critical_terms_are_counted_as_the_findings_count_them(words: list[Word]) -> None:
    """In the verses, without the titles of psalms; with them H430 is 2,605 and H3068 6,518."""
    counts = Counter(word.strongs for word in words if word.verse % 1000)
    expected = {"H430": 2604, "H3068": 6512, "H113": 335, "H2617": 248, "H539": 108}
    assert {number: counts[number] for number in expected} == expected
    whole = Counter(word.strongs for word in words)
    assert (whole["H430"], whole["H3068"]) == (2605, 6518)


def test_genesis_1_1(words: list[Word]) -> None:
    assert of(words, 1_001_001) == [
        (1, "beginning", "H7225"),
        (2, "God", "H430"),
        (3, "created", "H1254"),
        (4, "heaven", "H8064"),
        (5, "and", "H853"),
        (6, "earth", "H776"),
    ]


def test_john_1_1_has_the_number_of_to_be_and_not_of_was(words: list[Word]) -> None:
    assert [number for _, text, number in of(words, 43_001_001) if text == "was"] == ["G1510"] * 3
    assert (1, "In", "G1722") in of(words, 43_001_001)


def test_no_inflected_number_is_left(words: list[Word]) -> None:
    counts = Counter(word.strongs for word in words)
    assert not counts.keys() & inflected.LEMMA.keys()
    assert (counts["G1510"], counts["G1473"], counts["H1980"]) == (2506, 2678, 1543)


def test_the_title_of_a_psalm_is_its_verse_0(words: list[Word]) -> None:
    assert of(words, 19_051_000)[:3] == [(1, "Musician", "H5329"), (2, "Psalm", "H4210"), (3, "David", "H1732")]
    assert of(words, 19_051_001)[0] == (1, "mercy", "H2603")


def test_the_name_is_read_where_the_markup_of_the_divine_name_is_broken(words: list[Word]) -> None:
    assert (8, "JEHOVAH", "H3068") in of(words, 2_006_003)
    assert [text for _, text, number in of(words, 34_001_003) if number == "H3068"] == ["LORD", "LORD"]


def test_folded_numbers_are_forms_by_the_dictionary_itself(sword_folder: Path) -> None:
    reading = Reading(sword_folder)
    greek = {entry.strongs: entry for entry in strongs_dictionary.entries(sword_folder, "greek", reading)}
    misprint = {"G1700": "G3449"}
    for form, lemma in inflected.LEMMA.items():
        if form.startswith("H"):
            continue
        named = re.findall(r"G\d+", greek[form].definition.replace(misprint.get(form, "-"), "G3450"))
        assert lemma in {inflected.lemma_of(number) for number in named}, form
        assert inflected.lemma_of(lemma) == lemma


# Forms by the dictionary's etymology that are words of their own: adverbs, particles, interjections and prepositions;
# nouns and names; impersonal verbs; numbers; pronouns compounded of two.
OWN_WORDS = {
    *("G235", "G847", "G1432", "G3112", "G3397", "G3757", "G5024", "G5035", "G33", "G1436", "G2396", "G2400", "G5484"),
    *("G623", "G758", "G2394", "G2568", "G3175", "G3625", "G5375", "G566", "G1163", "G5145", "G4572"),
}


def test_what_the_dictionary_calls_a_case_number_person_or_mood_is_folded_or_reviewed(sword_folder: Path) -> None:
    inflection = (
        "third|3rd|second|first|person|singular|plural|genitive|dative|accusative|nominative|case|imperfect|future"
        "|indicative|imperative|infinitive|optative|subjunctive|participle"
    )
    beside = "present|past|active|passive|middle|voice|masculine|feminine|neuter|irregular|apparent|the|or|properly,"
    form = re.compile(rf"(?:(?:{beside}) )*(?:{inflection}) (?:(?:{inflection}|{beside}) )*(?:of|for|from) G\d+")
    greek = strongs_dictionary.entries(sword_folder, "greek", Reading(sword_folder))
    bare = {entry.strongs: re.sub(r" \([^)]*\)", "", entry.definition) for entry in greek}
    found = {number for number, definition in bare.items() if form.match(definition)}
    assert found - inflected.LEMMA.keys() == OWN_WORDS
    assert len(found & inflected.LEMMA.keys()) > 25


def test_the_digest_knows_content_not_place(sword_folder: Path, damaged: Path) -> None:
    assert sword.digest(sword_folder) == sword.digest(damaged)
    file = damaged / "modules/texts/ztext/engKJV2006eb/nt.bzz"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert sword.digest(sword_folder) != sword.digest(damaged)


def test_the_usual_places_are_searched(sword_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BIBLEQA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SWORD_PATH", raising=False)
    shutil.copytree(sword_folder, tmp_path / ".sword")
    assert sword.find(None) == tmp_path / ".sword"
    shutil.copytree(sword_folder, tmp_path / "cache" / "sword")
    assert sword.find(None) == sword.cache_folder() == tmp_path / "cache" / "sword"
    monkeypatch.setenv("SWORD_PATH", str(sword_folder))
    assert sword.find(None) == sword_folder
    assert sword.find(tmp_path / ".sword") == tmp_path / ".sword"


def test_a_missing_folder_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere has no module engKJV2006eb.*bibleqa data fetch sword.*sword_path"):
        sword.find(tmp_path / "nowhere")


def test_a_module_of_another_format_is_refused(damaged: Path) -> None:
    conf = damaged / "mods.d" / "engKJV2006eb.conf"
    conf.write_text(conf.read_text().replace("Versification=KJV", "Versification=Vulg"))
    with pytest.raises(ConfigError, match=r"engKJV2006eb\.conf: versification=Vulg instead of kjv"):
        sword.find(damaged)


def test_a_missing_file_is_named(damaged: Path) -> None:
    (damaged / "modules/texts/ztext/engKJV2006eb/nt.bzs").unlink()
    with pytest.raises(ConfigError, match=r"nt\.bzs is missing"):
        sword.find(damaged)


@pytest.mark.parametrize("ending", ["bzz", "bzv", "bzs"])
def test_verses_of_a_truncated_file_are_counted_one_by_one(damaged: Path, ending: str) -> None:
    file = damaged / f"modules/texts/ztext/engKJV2006eb/nt.{ending}"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    reading = Reading(damaged)
    found = list(sword.words(damaged, reading))
    assert reading.rows == 31_102
    assert {word.verse for word in found} >= {1_001_001, 39_004_006}
    assert len(reading.rejects) > 1000
    assert reading.rejects[-1].reason == "verse 66022021: has no text; the module is truncated or damaged"
    with pytest.raises(ConfigError, match="has no text"):
        reading.check(0.001)


def genesis(folder: Path, verses: list[str]) -> None:
    """Puts these texts in the place of the first verses, and nothing in that of the other verses of Genesis."""
    base = folder / "modules/texts/ztext/engKJV2006eb"
    blocks, data, places = (bytearray((base / f"ot.bz{kind}").read_bytes()) for kind in "szv")
    encoded = [verse.encode() for verse in verses]
    packed = zlib.compress(b"".join(encoded))
    # Block 0 and verse 0 to 3 are headings of module, testament, book and chapter.
    numbers = [number for number, *_ in struct.iter_unpack("<IIH", places)]
    block = numbers[4]
    blocks[12 * block : 12 * block + 12] = struct.pack("<III", len(data), len(packed), sum(map(len, encoded)))
    start = 0
    for number, text in enumerate(encoded, start=4):
        places[10 * number : 10 * number + 10] = struct.pack("<IIH", block, start, len(text))
        start += len(text)
    for kind, content in zip("szv", (blocks, data + packed, places), strict=True):
        (base / f"ot.bz{kind}").write_bytes(content)


def test_a_group_with_several_numbers_gives_words_that_share_its_place(damaged: Path) -> None:
    several = '<w lemma="strong:G3588 strong:G02258" morph="robinson:T-NSM robinson:V-IXI-3S">the\n was</w>'
    genesis(damaged, [f"In {several} <w lemma='strong:H0430'>God</w>"])
    found = list(takewhile(lambda word: word.verse == 1_001_001, sword.words(damaged, Reading(damaged))))
    assert [(w.position, w.text, w.strongs, w.morphology) for w in found] == [
        (1, "the was", "G3588", "T-NSM"),
        (1, "the was", "G1510", "V-IXI-3S"),
        (2, "God", "H430", ""),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<hi><w lemma="strong:H1">a</w></hi>', "<hi> is an unknown tag"),
        ('<w lemma="strong:H1">a', "its markup is broken: mismatched tag"),
        ('<w lemma="strong:X1">a</w>', "'X1' is not a Strong's number"),
        ('<w lemma="lemma.TR:a">a</w>', 'lemma="lemma.TR:a" is not of the form strong:…'),
        ("<w>a</w>", "<w>a</w> has 0 numbers and 0 morphologies"),
        ('<w lemma="strong:H1 strong:H2" morph="robinson:N">a</w>', "has 2 numbers and 1 morphologies"),
        ('<w lemma="strong:H1" src="1">a</w>', "unknown attribute src"),
        ('<w lemma="strong:H1"> </w>', "a <w> is empty or holds other tags"),
        ('<w lemma="strong:H1">a<seg>b</seg></w>', "a <w> is empty or holds other tags"),
        ('<title><w lemma="strong:H1">a</w></title>', "a title that is no psalm's has tagged words"),
        ("\ufffd", "is not UTF-8"),
    ],
)
def test_unknown_structure_is_a_reject_and_the_rest_is_read(damaged: Path, text: str, reason: str) -> None:
    genesis(damaged, ['<w lemma="strong:H7225">first</w>', text, '<w lemma="strong:H430">last</w>'])
    reading = Reading(damaged)
    found = list(takewhile(lambda word: word.verse < 1_001_004, sword.words(damaged, reading)))
    assert [(word.verse, word.strongs) for word in found] == [(1_001_001, "H7225"), (1_001_003, "H430")]
    assert reading.rejects[0].line == 2
    assert reading.rejects[0].reason.startswith("verse 01001002: ")
    assert reason in reading.rejects[0].reason
