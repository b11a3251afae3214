"""The King James Version with Strong's numbers, from a folder of SWORD modules.

SWORD is the format in which the free Bible programs keep their texts: `mods.d/<module>.conf` describes a module,
`modules/` holds its files (https://wiki.crosswire.org/DevTools:conf_Files). Three modules are read: the text
`engKJV2006eb` here, and the dictionaries `StrongsHebrew` and `StrongsGreek` in `strongs_dictionary`. All three are
in the public domain.
"""

import hashlib
import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as ConfError
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bibleqa import artifacts
from bibleqa.data.corpora.inflected import lemma_of
from bibleqa.data.corpora.records import Reading, Strongs, Word
from bibleqa.errors import ConfigError

SOURCE = "kjv"
TEXT = "engKJV2006eb"
HEBREW = "StrongsHebrew"
GREEK = "StrongsGreek"

_TEXT_FILES = tuple(f"/{testament}.bz{kind}" for testament in ("ot", "nt") for kind in "svz")
_DICTIONARY_FILES = (".idx", ".dat", ".zdx", ".zdt")
_TEXT_FORM = {
    "moddrv": "ztext",
    "sourcetype": "osis",
    "versification": "kjv",
    "blocktype": "book",
    "compresstype": "zip",
    "encoding": "utf-8",
}
# StrongsHebrew names neither its markup (TEI) nor its encoding (UTF-8).
_DICTIONARY_FORM = {"moddrv": "zld", "compresstype": "zip"}
_MODULES = {
    TEXT: (_TEXT_FORM, _TEXT_FILES),
    HEBREW: (_DICTIONARY_FORM, _DICTIONARY_FILES),
    GREEK: (_DICTIONARY_FORM, _DICTIONARY_FILES),
}

_BOOKS = 66
# Every element that the module has. Tags outside of it mean another version, whose words may stand elsewhere.
_KNOWN = frozenset(
    ["verse", "w", "transChange", "div", "divineName", "l", "lg", "lb", "q", "chapter", "seg", "title", "foreign"]
)
_NOTE = re.compile(r"<note\b.*?</note>", re.DOTALL)


@dataclass(frozen=True)
class Module:
    """A module of a folder.

    Attributes:
        conf: Its description.
        base: What the names of its files begin with.
        files: The files that are read, all of them there.
    """

    conf: Path
    base: Path
    files: tuple[Path, ...]


def cache_folder() -> Path:
    """Where `debian.fetch_sword` unpacks."""
    return artifacts.cache_folder() / "sword"


def find(sword_path: Path | None) -> Path:
    """The folder to read: `sword_path`, else the first of the usual places that has all three modules.

    Raises:
        ConfigError: There is none; the message says where was looked, what is missing and how to get it.
    """
    places = [sword_path.expanduser()] if sword_path else _usual_places()
    problems = []
    for place in places:
        try:
            for name in _MODULES:
                module(place, name)
        except ConfigError as error:
            problems.append(str(error))
        else:
            return place
    raise ConfigError(f"no SWORD folder with the modules {', '.join(_MODULES)}: {'; '.join(problems)}. {how_to_get()}")


def how_to_get() -> str:
    """What a user can do who has no modules."""
    return (
        "With apt: bibleqa data fetch sword. Elsewhere install these modules with any SWORD program (the text is in "
        "the eBible.org repository, the dictionaries are in CrossWire's), and set corpus.sword_path to its folder, the "
        "one that holds mods.d"
    )


def module(folder: Path, name: str) -> Module:
    """One of the three modules in a folder.

    Raises:
        ConfigError: It is not there, lacks a file, or is in another format than the readers know.
    """
    form, suffixes = _MODULES[name]
    conf, settings = _settings(folder, name)
    for key, expected in form.items():
        found = settings.get(key) or ""
        if found.lower() != expected:
            raise ConfigError(
                f"{conf}: {key}={found} instead of {expected}; this is another version, which cannot be read"
            )
    base = folder / (settings.get("datapath") or "")
    files = tuple(base.parent / f"{base.name}{suffix}" for suffix in suffixes)
    for file in files:
        if not file.is_file():
            raise ConfigError(f"{file} is missing")
    return Module(conf, base, files)


def digest(folder: Path) -> str:
    """The sha256 over every file of the three modules, hex; independent of where the folder is.

    Raises:
        ConfigError: A module is not there.
    """
    whole = hashlib.sha256()
    for name in _MODULES:
        found = module(folder, name)
        for file in (found.conf, *found.files):
            try:
                content = file.read_bytes()
            except OSError as error:
                raise ConfigError(f"cannot read {file}: {error.strerror}") from None
            whole.update(f"{name}/{file.name} {len(content)}\n".encode())
            whole.update(content)
    return whole.hexdigest()


def words(folder: Path, reading: Reading) -> Iterator[Word]:
    """The tagged words of the King James Version, in order: one English group a `<w>` element.

    Only groups with a number are tagged: "In the <w>beginning</w>" gives one word. Those of a psalm's title belong
    to verse 0. A row of `reading` is a verse, and its line the verse's place in the module, from 1.

    Raises:
        ConfigError: The module is not there, or is in another format.
    """
    for line, (verse, text) in enumerate(_verses(module(folder, TEXT)), start=1):
        found: list[Word] = []
        with reading.row(line):
            try:
                found = _words(verse, text)
            except ValueError as error:
                raise ValueError(f"verse {verse:08}: {error}") from None
        yield from found


def _usual_places() -> list[Path]:
    """Where SWORD programs keep their modules.

    SWORD itself and the programs built on it (Xiphos, BibleTime, Eloquent) look at `SWORD_PATH`, `.sword` at home,
    `Sword` among the application data and the folders of the system; those built on JSword have a folder beside.
    """
    home = Path.home()
    places = [Path(chosen)] if (chosen := os.environ.get("SWORD_PATH")) else []
    places += [cache_folder(), home / ".sword", home / ".jsword"]
    if sys.platform == "darwin":
        support = home / "Library" / "Application Support"
        places += [support / "Sword", support / "JSword"]
    elif sys.platform == "win32":
        for variable in ("APPDATA", "ALLUSERSPROFILE"):
            if root := os.environ.get(variable):
                places += [Path(root) / "Sword", Path(root) / "JSword"]
    else:
        places += [Path("/usr/share/sword"), Path("/usr/local/share/sword")]
    return places


def _settings(folder: Path, name: str) -> tuple[Path, dict[str, str | None]]:
    """The description of a module, keys in lower case; a file may hold several."""
    for conf in sorted((folder / "mods.d").glob("*.conf")):
        # Descriptions of other modules may be in any encoding; that of ours is plain ASCII.
        parser = ConfigParser(strict=False, interpolation=None, allow_no_value=True, delimiters=("=",))
        try:
            text = conf.read_text(encoding="utf-8-sig", errors="replace")
            if f"[{name}]" not in text:
                continue
            parser.read_string(text)
        except (OSError, ConfError) as error:
            raise ConfigError(f"cannot read {conf}: {str(error).splitlines()[0]}") from None
        if parser.has_section(name):
            return conf, dict(parser.items(name))
    raise ConfigError(f"{folder} has no module {name}")


def _verses(text: Module) -> Iterator[tuple[int, str]]:
    """Every verse of the English numbering with its markup; what cannot be unpacked comes as an empty text."""
    from pysword.bible import SwordBible

    bible = SwordBible(str(text.base), "ztext", "kjv", "utf-8", "OSIS", "BOOK")
    # pysword unpacks a whole book for each verse of it: 45 s for the Bible. With the last book kept, 1 s.
    bible._decompressed_text = lru_cache(maxsize=1)(bible._decompressed_text)
    books = [book for testament in bible.get_structure().get_books().values() for book in testament]
    if len(books) != _BOOKS:
        raise ConfigError(f"{text.base}: {len(books)} books can be opened instead of {_BOOKS}")
    for number, book in enumerate(books, start=1):
        for chapter, length in enumerate(book.chapter_lengths, start=1):
            texts = bible.get_iter(books=[book.name], chapters=[chapter], clean=False)
            for verse, found in zip(range(1, length + 1), texts, strict=True):
                yield number * 1_000_000 + chapter * 1000 + verse, found


def _words(verse: int, text: str) -> list[Word]:
    if not text.strip():
        raise ValueError("has no text; the module is truncated or damaged")
    if "\ufffd" in text:
        raise ValueError("is not UTF-8")
    # Notes hold no tagged words, but markup left unclosed (`<divineName>LORD\+nd*</note>`). What should have closed
    # it stands at the next LORD, whose opening is still the `\nd ` of the module's source.
    text = _NOTE.sub("", text).replace(r"\nd ", "<divineName>")
    try:
        root = ElementTree.fromstring(f"<verse>{text}</verse>")
    except ElementTree.ParseError as error:
        raise ValueError(f"its markup is broken: {error}") from None
    for element in root.iter():
        if element.tag not in _KNOWN:
            raise ValueError(f"<{element.tag}> is an unknown tag")
    titled = {group for title in root.iter("title") for group in title.iter("w") if _is_psalm_title(title)}
    groups = list(root.iter("w"))
    found: list[Word] = []
    for number, group in enumerate(groups, start=1):
        # The title comes first, and each of the two counts its own groups.
        if group in titled:
            found += _group(group, verse // 1000 * 1000, number)
        else:
            found += _group(group, verse, number - len(titled))
    return found


def _is_psalm_title(title: ElementTree.Element) -> bool:
    """Whether a title is a part of the psalm; the others, of subscriptions and acrostics, have no tagged words."""
    if title.get("canonical") == "true" and title.get("type") == "psalm":
        return True
    if title.find(".//w") is not None:
        raise ValueError("a title that is no psalm's has tagged words")
    return False


def _group(group: ElementTree.Element, verse: int, position: int) -> list[Word]:
    """The original words behind one English group, sharing its position."""
    text = " ".join((group.text or "").split())
    if len(group) or not text:
        raise ValueError("a <w> is empty or holds other tags")
    if unknown := set(group.attrib) - {"lemma", "morph"}:
        raise ValueError(f"<w> has the unknown attribute {min(unknown)}")
    numbers = [Strongs.parse(code) for code in _codes(group, "lemma", "strong")]
    morphologies = _codes(group, "morph", "robinson") or [""] * len(numbers)
    if not numbers or len(numbers) != len(morphologies):
        raise ValueError(f"<w>{text}</w> has {len(numbers)} numbers and {len(morphologies)} morphologies")
    return [
        Word(SOURCE, verse, position, text, lemma_of(number.number), number.suffix, morphology=morphology)
        for number, morphology in zip(numbers, morphologies, strict=True)
    ]


def _codes(group: ElementTree.Element, attribute: str, scheme: str) -> list[str]:
    """What an attribute says: `strong:G2316 strong:G3588` without the scheme."""
    found = []
    for code in group.get(attribute, "").split():
        prefix, _, value = code.partition(":")
        if prefix != scheme or not value:
            raise ValueError(f'{attribute}="{code}" is not of the form {scheme}:…')
        found.append(value)
    return found
