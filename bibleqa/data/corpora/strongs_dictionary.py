"""Strong's dictionaries of Hebrew and Greek, from the SWORD modules `StrongsHebrew` and `StrongsGreek`.

They are in SWORD's compressed dictionary format zLD, which pysword does not read. Four files, all numbers little
endian, four bytes each (as SWORD's `zld.cpp` reads them; checked on Debian's packages):

- `.idx`: offset and size, in `.dat`, of each key, sorted;
- `.dat`: the key, CR LF, then number of the block and place in it;
- `.zdx`: offset and size, in `.zdt`, of each block;
- `.zdt`: the blocks, deflated: how many entries, offset and size of each, the entries.

An entry is TEI: `<orth>` the word, `<pron>` how to say it, `<def>` etymology, meaning, and how the King James Version
renders it.
"""

import re
import struct
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from bibleqa.data.corpora.records import LexiconEntry, Reading
from bibleqa.data.corpora.sword import GREEK, HEBREW, Module, module
from bibleqa.errors import ConfigError

SOURCE = "strongs"
Language = Literal["hebrew", "greek"]

ENTRIES: dict[Language, int] = {"hebrew": 8_674, "greek": 5_624}

_PAIR = struct.Struct("<II")
_COUNT = struct.Struct("<I")
_KNOWN = frozenset(["entryFree", "orth", "pron", "lb", "def", "orig", "ref", "hi", "foreign"])
# Greek numbers that Strong left out (G2717, G3203 to G3302).
_UNUSED = "Not Used"
_GLOSS_WORDS = 3
# Characters that no text holds, in place of the tags of a Hebrew definition.
_OPEN, _CLOSE, _BREAK = "\x01", "\x02", "\x03"
_MARKS = re.compile(f"[{_OPEN}{_CLOSE}{_BREAK}]")
# What leads a meaning in, and is none.
_LEAD = re.compile(
    r"(?:(?:abstractly|adverbially|by \w+|causatively|collectively|concretely|especially|figuratively|generally"
    r"|impersonally|intransitively|literally|mentally|morally|naturally|objectively|particularly|passive|passively"
    r"|physically|prepositionally|properly|reflexively|specially|specifically|subjectively|technically|transitively"
    r"|(?:\w+ )?used \w+)(?:\s+|$)|(?:also|and|hence|only|perhaps|to|a|an|the)\s+)+",
    re.IGNORECASE,
)


def entries(folder: Path, language: Language, reading: Reading) -> Iterator[LexiconEntry]:
    """The entries of a dictionary, by number, as many as `ENTRIES` says.

    The 101 Greek numbers that Strong did not use have no lemma. A row of `reading` is an entry, its line the entry's
    place in the index, from 1.

    Raises:
        ConfigError: The module is not there, in another format, truncated or damaged; the message names the file.
    """
    found = module(folder, HEBREW if language == "hebrew" else GREEK)
    read = _hebrew if language == "hebrew" else _greek
    seen: dict[int, bytes] = {}
    for line, (key, content) in enumerate(_raw(found), start=1):
        entry: LexiconEntry | None = None
        with reading.row(line):
            number = _number(key)
            # Debian's module has H2200 twice, word for word the same.
            if number not in seen:
                seen[number] = content
                entry = read(number, _tree(number, content))
            elif content != seen[number]:
                raise ValueError(f"a second entry of the number {number}")
        if entry:
            yield entry
    if len(seen) + len(reading.rejects) < ENTRIES[language]:
        raise ConfigError(f"{found.files[0]}: {len(seen):,} entries instead of {ENTRIES[language]:,}; it is truncated")


def _raw(found: Module) -> Iterator[tuple[bytes, bytes]]:
    """Keys and contents, in the order of the index."""
    idx, dat, zdx, zdt = found.files
    keys, index, blocks, data = (_bytes(file) for file in (idx, dat, zdx, zdt))
    if not keys or len(keys) % _PAIR.size:
        raise ConfigError(f"{idx}: {len(keys)} bytes are no whole index; the file is truncated")

    @lru_cache(maxsize=2)
    def block(number: int) -> list[bytes]:
        if _PAIR.size * (number + 1) > len(blocks):
            raise ConfigError(f"{zdx}: has no block {number}; the file is truncated or {dat.name} is damaged")
        packed = _slice(data, blocks, _PAIR.size * number, zdt)
        try:
            content = zlib.decompress(packed)
        except zlib.error as error:
            raise ConfigError(f"{zdt}: block {number} cannot be unpacked ({error}); the file is damaged") from None
        if len(content) < _COUNT.size:
            raise ConfigError(f"{zdt}: block {number} is empty; the file is damaged")
        (count,) = _COUNT.unpack_from(content)
        if _COUNT.size + _PAIR.size * count > len(content):
            raise ConfigError(f"{zdt}: block {number} has no room for its {count} entries; the file is damaged")
        return [_slice(content, content, _COUNT.size + _PAIR.size * i, zdt).rstrip(b"\0") for i in range(count)]

    for at in range(0, len(keys), _PAIR.size):
        key, _, place = _slice(index, keys, at, dat).partition(b"\r\n")
        if len(place) < _PAIR.size:
            raise ConfigError(f"{dat}: {key!r} leads to no entry; the file is damaged or of another format")
        number, position = _PAIR.unpack_from(place)
        contents = block(number)
        if position >= len(contents):
            raise ConfigError(f"{dat}: {key!r} leads to entry {position} of {len(contents)} in block {number}")
        yield key, contents[position]


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None


def _slice(data: bytes, table: bytes, at: int, file: Path) -> bytes:
    """The bytes of `data` whose offset and size stand in `table`."""
    offset, size = _PAIR.unpack_from(table, at)
    if offset + size > len(data):
        raise ConfigError(f"{file}: ends at byte {len(data):,} instead of {offset + size:,}; it is truncated")
    return data[offset : offset + size]


def _number(key: bytes) -> int:
    if not key.isdigit() or int(key) == 0:
        raise ValueError(f"the key {key!r} is no number")
    return int(key)


def _tree(number: int, content: bytes) -> ElementTree.Element:
    """The TEI of an entry.

    Raises:
        ValueError: It is not as all known entries are.
    """
    try:
        root = ElementTree.fromstring(content.decode("utf-8"))
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"entry {number} is broken: {error}") from None
    if unknown := {element.tag for element in root.iter()} - _KNOWN:
        raise ValueError(f"entry {number}: <{min(unknown)}> is an unknown tag")
    if root.tag != "entryFree" or not (root.get("n") or "").isdigit() or int(root.get("n", "")) != number:
        raise ValueError(f"entry {number} calls itself {root.get('n')}")
    return root


def _hebrew(number: int, root: ElementTree.Element) -> LexiconEntry:
    """A Hebrew entry: `<orth>`, `<orth type="trans">`, `<pron>`, `<def>`."""
    layout = [element.tag for element in root if element.tag != "lb"]
    if layout != ["orth", "orth", "pron", "def"]:
        raise ValueError(f"entry {number} has the unknown layout {' '.join(layout)}")
    word, transliterated, pronounced, defined = (element for element in root if element.tag != "lb")
    # A raised "o" after the word is a note, no letter.
    written = [word.text or "", *(element.tail or "" for element in word)]
    spellings, sounds = _forms("".join(written)), _forms(_flat(transliterated))
    if not spellings or not sounds:
        raise ValueError(f"entry {number} has no word")
    text = _hebrew_text(_marked(defined))
    if _is_hebrew(sounds[0]):
        # H5019 has every field one place too far: the pronunciation is the first line of the definition.
        sounds, text = _forms(_flat(pronounced)), text.partition(_BREAK)[2]
    meaning, kjv, notes = _divide(_tidy(_MARKS.sub("", text)), r".*: - |.* - ")
    return LexiconEntry(
        source=SOURCE,
        strongs=f"H{number}",
        suffix="",
        lemma=_main_form(spellings, len(sounds)),
        transliteration=_hebrew_text(sounds[0]),
        gloss=_gloss(_italics(text), kjv),
        definition=f"{meaning}. {notes}" if notes else meaning,
        kjv=kjv,
    )


def _greek(number: int, root: ElementTree.Element) -> LexiconEntry:
    """A Greek entry: `<orth>` in letters, in beta code and in Latin letters, `<pron>`, and text with `<def>` in it."""
    head, rest = list(root[:3]), list(root[3:])
    if [element.tag for element in root] == ["def"] and _flat(root).strip() == _UNUSED:
        return LexiconEntry(SOURCE, f"G{number}", "", "", "", "", _UNUSED)
    if [element.get("type") for element in head] != [None, "writing", "trans"] or {e.tag for e in head} != {"orth"}:
        raise ValueError(f"entry {number} does not begin with the word")
    lemma, _, transliteration = (" ".join(_flat(element).split()) for element in head)
    if not lemma or not transliteration:
        raise ValueError(f"entry {number} has no word")
    spoken = (head[2].tail or "") + "".join(_greek_flat(element) + (element.tail or "") for element in rest)
    meaning, kjv, notes = _divide(_tidy(spoken), r".*:? ?--")
    defined = "".join(_greek_flat(element, etymology=False) for element in rest if element.tag == "def")
    phrases = re.split(r"[;,:]|\bi\.e\.|\bor\b", _without_brackets(_divide(_tidy(defined), r".*:? ?--")[0]))
    return LexiconEntry(
        source=SOURCE,
        strongs=f"G{number}",
        suffix="",
        lemma=lemma,
        transliteration=transliteration,
        gloss=_gloss(phrases, kjv),
        definition=f"{meaning}. {notes}" if notes else meaning,
        kjv=kjv,
    )


def _flat(element: ElementTree.Element) -> str:
    return "".join(element.itertext())


def _marked(element: ElementTree.Element) -> str:
    """The text, with the meanings (which are in italics) and the line breaks marked."""
    parts = [element.text or ""]
    for child in element:
        if child.tag == "hi":
            parts.append(f"{_OPEN}{_flat(child)}{_CLOSE}")
        else:
            parts.append(_BREAK if child.tag == "lb" else _flat(child))
        parts.append(child.tail or "")
    return "".join(parts)


def _greek_flat(element: ElementTree.Element, etymology: bool = True) -> str:
    """The text without beta code, which repeats the Greek, without pronunciations, and perhaps without etymology."""
    if element.get("type") == "writing" or element.tag == "pron" or (element.tag == "orig" and not etymology):
        return ""
    inner = "".join(_greek_flat(child, etymology) + (child.tail or "") for child in element)
    return (element.text or "") + inner


def _italics(marked: str) -> list[str]:
    """The meanings in a Hebrew definition, but those of the etymology before it."""
    # The last word before the renderings is in bold, even within a meaning.
    text = re.sub(rf"(?<![,;]){_CLOSE}\s+{_OPEN}", " ", _without_brackets(marked)).lstrip(" ;")
    _, found, meaning = text.rpartition(_BREAK) if _BREAK in text else text.partition(";")
    return re.findall(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}", meaning if found else text)


def _forms(text: str) -> list[str]:
    """Spellings stand two or more blanks apart."""
    return [form for form in re.split(r"\s{2,}", text.strip()) if form]


def _main_form(spellings: list[str], sounds: int) -> str:
    """The first spelling, which stands last, for the module lists them from right to left.

    With one transliteration, what looks like several spellings is a name of several words, in order.
    """
    return spellings[-1] if sounds > 1 else " ".join(dict.fromkeys(spellings))


def _is_hebrew(text: str) -> bool:
    return any("\u0590" <= letter <= "\u05ff" for letter in text)


def _hebrew_text(text: str) -> str:
    """Undoes what a conversion did to the text of the Hebrew dictionary.

    A word that a comma followed stands in braces instead (`{chief} principal`), or is followed by a 6 (`cure6
    help`); verses became Strong's numbers (`Psa. H150 : {H4}` for Psalm 150:4); a Greek omega with accent stands for
    `ś`, an acute accent and a blank for the apostrophe.
    """
    text = re.sub(rf"H(\d+)[{_OPEN}\s]*:[{_CLOSE}\s{{]*H(\d+)\}}?", r"\1:\2", text)
    text = re.sub(r"\bH([12]) (?=[A-Z][a-z])", r"\1 ", text)
    text = text.replace("ώ", "ś").replace("´ ", "'")
    text = re.sub(rf"(?<=[a-z{_CLOSE}])6([)\]]*){_BREAK}?", r"\1, ", text)
    # The comma came after the bracket that closes behind the word.
    text = re.sub(r"\{([^{}]*)\}([)\]]*)", r"\1\2,", text)
    return _tidy(text)


def _tidy(text: str) -> str:
    """Single blanks, none before a comma or inside brackets; Strong's numbers unpadded."""
    text = re.sub(r"\b([HG])0+(?=\d)", r"\1", " ".join(text.split()))
    text = re.sub(r"(?<=[(\[]) | (?=[,;:)\]])", "", text)
    return re.sub(r",(?=[,;.])", "", text).strip(" ,;")


def _divide(text: str, separator: str) -> tuple[str, str, str]:
    """Definition, renderings of the King James Version, and what is said after them ("Compare …")."""
    match = re.match(separator, text)
    if not match:
        return text.rstrip(". "), "", ""
    meaning = re.sub(r"[\s:;-]+$", "", match[0])
    kjv, *notes = re.split(r"\.\s+(?=\(?[A-Z][a-z]|\[)", text[match.end() :].strip(), maxsplit=1)
    return meaning, kjv.rstrip(". "), "".join(notes).rstrip(". ")


def _without_brackets(text: str) -> str:
    return re.sub(r"\([^()]*\)|\[[^\[\]]*\]|[()\[\]]", " ", text)


def _gloss(meanings: list[str], kjv: str) -> str:
    """The shortest meaning: of those in the definition the first that is a rendering too, else the first short one."""
    # A phrase with a number says where the word comes from.
    said = [_bare(meaning) for meaning in meanings if not re.search(r"[GH]\d", meaning)]
    rendered = [_bare(rendering) for rendering in _without_brackets(kjv).split(",")]
    short = [meaning for meaning in said if meaning and len(meaning.split()) <= _GLOSS_WORDS]
    known = {rendering.lower() for rendering in rendered}
    both = [meaning for meaning in short if meaning.lower() in known]
    return next(iter(both + short + [r for r in rendered if r]), "")


def _bare(phrase: str) -> str:
    """A phrase without signs of the dictionary (`X`, `+`), "properly", articles and the like before it."""
    phrase = " ".join(re.sub(r"[+…:.!?\"“”]|\bX\b|--", " ", phrase.partition(";")[0]).split())
    lead = _LEAD.match(phrase)
    return phrase[lead.end() if lead else 0 :].strip(" ,;-'")
