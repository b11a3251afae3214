"""What the readers of STEPBible's files share: finding and fetching them, their lines, references and numbers.

The data is made by STEPBible.org from work at Tyndale House Cambridge (CC BY 4.0,
https://github.com/STEPBible/STEPBible-Data). The formats are described at the head of each file.
"""

import hashlib
import re
import shutil
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import Self

from filelock import FileLock

from bibleqa import artifacts, runs
from bibleqa.data.corpora.records import Strongs
from bibleqa.errors import ConfigError

REPOSITORY = "https://github.com/STEPBible/STEPBible-Data"
# Of September 2025: TVTMS counts from the King James Version since March 2025, and TAHOT has twelve columns.
COMMIT = "0f60797c170f11a1f8dc75c5f7617973e2e66b0d"
ARCHIVE = f"{REPOSITORY}/archive/{COMMIT}.zip"
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 30.0

PATTERNS = {
    "tahot": "TAHOT*.txt",
    "tagnt": "TAGNT*.txt",
    "tbesh": "TBESH*.txt",
    "tbesg": "TBESG*.txt",
    "tvtms": "TVTMS*.txt",
    "tipnr": "TIPNR*.txt",
}
# Folders of the repository that keep what the present files replace.
_SUPERSEDED = re.compile(r"old(er)? format", re.IGNORECASE)

_CODES = (
    "Gen Exo Lev Num Deu Jos Jdg Rut 1Sa 2Sa 1Ki 2Ki 1Ch 2Ch Ezr Neh Est Job Psa Pro Ecc Sng Isa Jer Lam Ezk Dan "
    "Hos Jol Amo Oba Jon Mic Nam Hab Zep Hag Zec Mal Mat Mrk Luk Jhn Act Rom 1Co 2Co Gal Eph Php Col 1Th 2Th 1Ti "
    "2Ti Tit Phm Heb Jas 1Pe 2Pe 1Jn 2Jn 3Jn Jud Rev"
)
# Small letters, because TVTMS mixes the case of its codes.
BOOKS = {code: number for number, code in enumerate(_CODES.lower().split(), 1)}

_WORD_REFERENCE = re.compile(
    r"(?P<book>\w{3})\.(?P<verse>\d+\.\d+)(?P<others>(?:\(\d+\.\d+\)|\[\d+\.\d+\]|\{\d+\.\d+\})*)"
    r"#(?P<word>\d+)=(?P<type>\S+)",
    re.ASCII,
)
_OTHER = re.compile(r"([(\[{])(\d+\.\d+)")
# Maqqef, paseq, sof pasuq, the paragraph marks Petuhah and Setumah, inverted nun (TBESH: "Punct.").
_PUNCTUATION = frozenset(f"H{number}" for number in range(9014, 9020))


def find(folder: Path) -> dict[str, list[Path]]:
    """The files of each kind in the user's download, by `PATTERNS`, in the order of their paths.

    They may be in the folder itself or anywhere below, as in a clone of the repository; what lies in its folders
    of older formats is left out.

    Raises:
        ConfigError: There is no such folder, or none of the files is in it.
    """
    if not folder.is_dir():
        raise ConfigError(f"corpus.stepbible_path: {folder} is not a folder; {_advice()}")
    found = {}
    for kind, pattern in PATTERNS.items():
        paths = [path for path in folder.rglob(pattern) if path.is_file()]
        found[kind] = sorted(path for path in paths if not _is_superseded(path.relative_to(folder)))
    if not any(found.values()):
        raise ConfigError(f"corpus.stepbible_path: no {', '.join(PATTERNS.values())} in {folder} or below; {_advice()}")
    return found


def _is_superseded(path: Path | PurePosixPath) -> bool:
    return any(_SUPERSEDED.match(part) for part in path.parts[:-1])


def digest(paths: Iterable[Path]) -> str:
    """Sha256 (hex) over names and contents, whatever the folder and the order."""
    total = hashlib.sha256()
    for path in sorted(paths, key=lambda path: path.name):
        total.update(f"{path.name}\0{artifacts.sha256_of(path)}\n".encode())
    return total.hexdigest()


def fetch(folder: Path) -> Path:
    """Download the pinned commit, and unpack the files that are read here into `folder`.

    Returns:
        The folder, for `corpus.stepbible_path`. Nothing is downloaded when every kind of file is there.

    Raises:
        ConfigError: The network does not allow it; the message says where to get the files, and which key to set.
    """
    import httpx

    if folder.is_dir() and all(any(folder.rglob(pattern)) for pattern in PATTERNS.values()):
        return folder
    timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
    try:
        with TemporaryFile() as archive:
            with httpx.stream("GET", ARCHIVE, timeout=timeout, follow_redirects=True) as response:
                response.raise_for_status()
                for chunk in response.iter_bytes():
                    archive.write(chunk)
            with zipfile.ZipFile(archive) as members:
                _unpack(members, folder)
    except (httpx.HTTPError, zipfile.BadZipFile, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{ARCHIVE} could not be fetched ({reason}); {_advice()}") from error
    return folder


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    """Put the files into a folder: none of them before all are unpacked, for of a kind there may be several."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        draft = folder.with_name(f".{folder.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)  # left by a process that was killed
        draft.mkdir()
        for member in archive.infolist():
            path = PurePosixPath(member.filename)
            if any(fnmatch(path.name, pattern) for pattern in PATTERNS.values()) and not _is_superseded(path):
                (draft / path.name).write_bytes(archive.read(member))
        if not folder.exists():
            runs.put_in_place(draft, folder)
            return
        for file in draft.iterdir():
            runs.put_in_place(file, folder / file.name)
        draft.rmdir()


def _advice() -> str:
    return (
        f"get the data of STEPBible where the network allows (git clone {REPOSITORY}, or download its ZIP), and set "
        "corpus.stepbible_path to its folder"
    )


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers from 1, without line ends and byte order mark.

    Normalised (NFC): the files write the same Hebrew and Greek letters in different ways, one with the marks in
    another order, the other with an acute accent of its own (U+1F79 for U+03CC).

    Raises:
        ConfigError: It cannot be opened, or is not UTF-8.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    offset = 0
    with file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ConfigError(
                    f"{path}:{number}: not UTF-8: byte 0x{raw[error.start]:02x} at offset {offset + error.start}; "
                    "save the file as STEPBible publishes it"
                ) from error
            offset += len(raw)
            line = line.removeprefix("\ufeff") if number == 1 else line
            yield number, unicodedata.normalize("NFC", line.rstrip("\r\n"))


def split(line: str) -> list[str]:
    """The columns of a line, without blanks around them."""
    return [cell.strip() for cell in line.split("\t")]


def check_header(path: Path, line: int, cells: Sequence[str], expected: Sequence[str]) -> None:
    """Refuse a file whose columns are named otherwise.

    Raises:
        ConfigError: They are; the message names file, line, what was expected and what was found.
    """
    found = list(cells[: len(expected)])
    if found != list(expected):
        raise ConfigError(
            f"{path}:{line}: another version of the format: the columns are {_shown(found)}, "
            f"expected {_shown(expected)}; {_advice()}"
        )


def check_columns(cells: Sequence[str], least: int) -> None:
    """Refuse a row that ends too early.

    Raises:
        ValueError: It does.
    """
    if len(cells) < least:
        raise ValueError(f"{len(cells)} columns instead of {least}: the line is truncated")


def word_rows(path: Path, header: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The data rows of TAHOT or TAGNT, with their line numbers.

    Before the first there is a preamble in prose. The header stands again before every verse, and lines with `#`
    show the verse interlinear; whatever else comes after the first header or row is a row, or should be one.

    Raises:
        ConfigError: The columns are others than `header`.
    """
    begun = False
    for number, line in lines(path):
        if not line.strip() or line.startswith("#"):
            continue
        cells = split(line)
        if len(cells) > 1 and cells[0].endswith("& Type"):
            check_header(path, number, cells, header)
            begun = True
            continue
        if not begun:
            if not _WORD_REFERENCE.match(cells[0]):
                continue
            # A file without any header: its first row has to show that the columns are the expected ones.
            if len(cells) < len(header):
                raise ConfigError(
                    f"{path}:{number}: another version of the format: {len(cells)} columns, expected "
                    f"{len(header)} ({_shown(header)}); {_advice()}"
                )
            begun = True
        yield number, cells


def _shown(cells: Sequence[str]) -> str:
    return " | ".join(cells)


def verse_id(book: str, chapter: int, verse: int) -> int:
    """BBCCCVVV of a book by STEPBible's code (`Gen`, `1Ki`, in any case), chapter and verse.

    Raises:
        ValueError: No such book, or a number that no chapter or verse has.
    """
    if book.lower() not in BOOKS:
        raise ValueError(f"{book!r} is not a book of the Bible")
    # Psalms has 150 chapters, Psalm 119 has 176 verses.
    if not 1 <= chapter <= 150 or not 0 <= verse <= 176:
        raise ValueError(f"{book} has no {chapter}:{verse}")
    return BOOKS[book.lower()] * 1_000_000 + chapter * 1000 + verse


@dataclass(frozen=True)
class WordReference:
    """Where a word of TAHOT or TAGNT stands.

    Attributes:
        verse: BBCCCVVV as it is printed first.
        round: The verse in round brackets: Hebrew numbering in TAHOT, Nestle-Aland in TAGNT.
        square: In square brackets: the King James Version in TAGNT.
        curly: In curly brackets: others in TAGNT.
        word: The source's number of the word; extra words have four digits (`#0501`).
        type: The source's letters for the text it is from (`L`, `Q(K)`, `N(k)O`).
    """

    verse: int
    word: int
    type: str
    round: int | None = None
    square: int | None = None
    curly: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `Gen.1.1#01=L`, `Psa.3.0(3.1)#01=L`, `2Co.13.13[13.14]#22=K`.

        Raises:
            ValueError: It is none.
        """
        match = _WORD_REFERENCE.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is not a reference (expected e.g. Gen.1.1#01=L)")
        others: dict[str, int] = {}
        for bracket, other in _OTHER.findall(match["others"]):
            if bracket in others:
                raise ValueError(f"{text!r} has two references in the same brackets")
            others[bracket] = _in_book(match["book"], other)
        return cls(
            verse=_in_book(match["book"], match["verse"]),
            word=int(match["word"]),
            type=match["type"],
            round=others.get("("),
            square=others.get("["),
            curly=others.get("{"),
        )


def _in_book(book: str, numbers: str) -> int:
    chapter, verse = numbers.split(".")
    return verse_id(book, int(chapter), int(verse))


@dataclass(frozen=True)
class HebrewTags:
    """The numbers behind a Hebrew word.

    Attributes:
        lexemes: Those of words: mostly one; none where a preposition has but a suffix.
        affixes: Those of prefixes and suffixes (H9xxx), in order, punctuation left out.
    """

    lexemes: tuple[Strongs, ...]
    affixes: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        r"""Read TAHOT's dStrongs: `H9003/{H7225G}`, `H9009/{H0776G}\H9016`, `{H0935G}//{H1409}`, `{H1035G}+`.

        `/` parts morphemes and `\` punctuation; the root is in braces, be it a suffix (`H9005/{H9030}`); two words
        written as one have two roots; `+` says that the number covers the next word too.

        Raises:
            ValueError: It is none, or nothing is in it.
        """
        lexemes, affixes = [], []
        for part in re.split(r"[/\\]", text):
            if not part.strip():
                continue
            match = re.fullmatch(r"\{([^{}]*)\}\+?|([^{}+]*)\+?", part.strip())
            if not match:
                raise ValueError(f"{text!r} is not a list of Strong's numbers (expected e.g. H9003/{{H7225G}})")
            number = Strongs.parse(match[1] or match[2] or "")
            if number.number[0] != "H":
                raise ValueError(f"{text!r} has a Greek number behind a Hebrew word")
            if number.is_lexeme:
                if match[1] is None:
                    raise ValueError(f"{text!r} has the number of a word outside of braces")
                lexemes.append(number)
            elif number.number not in _PUNCTUATION:
                affixes.append(number.number)
        if not lexemes and not affixes:
            raise ValueError(f"{text!r} has no Strong's number")
        return cls(tuple(lexemes), tuple(affixes))


def parse_greek_tags(text: str) -> list[tuple[Strongs, str]]:
    """Read TAGNT's dStrongs with their grammar: `G2424G=N-NSM-P`, `G1473=P-1NS + G2532=CONJ`.

    Raises:
        ValueError: It is none.
    """
    tags = []
    for part in text.split(" + "):
        number, equals, grammar = part.strip().partition("=")
        if not equals or not grammar:
            raise ValueError(f"{text!r} is not a number with its grammar (expected e.g. G2424G=N-NSM-P)")
        strongs = Strongs.parse(number)
        if strongs.number[0] != "G":
            raise ValueError(f"{text!r} has a Hebrew number behind a Greek word")
        tags.append((strongs, grammar.strip()))
    return tags
