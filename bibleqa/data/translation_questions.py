"""unfoldingWord's translation questions: questions people wrote on every chapter of the Bible, with answers.

The files (`tq_GEN.tsv`, one a book, CC BY-SA 4.0, https://git.door43.org/unfoldingWord/en_tq) are the user's own
download. They have seven columns: Reference, ID, Tags, Quote, Occurrence, Question, Response. They ask about the
unfoldingWord translations, and the answers are whole sentences; here the King James text of the reference is the
context, so only questions are taken whose answer ends in words of that, and says little more than the question before
them: of "She called him Obed." that is "Obed". About one in thirty is left.
"""

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bibleqa.data.corpora.stepbible import BOOKS as CODES
from bibleqa.data.corpora.stepbible import lines
from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible, context_of
from bibleqa.data.questions.craft import gives_itself_away
from bibleqa.data.questions.small_words import SMALL
from bibleqa.data.reference import BOOKS
from bibleqa.errors import ConfigError
from bibleqa.text import contains, words

TYPE = "translation_questions"
OPEN_BOOK = True
MOST_WORDS = 8

COLUMNS = ("Reference", "ID", "Tags", "Quote", "Occurrence", "Question", "Response")
_FILES = "tq_*.tsv"
_PLACE = re.compile(r"\d+:\d+(?:[-–](?:\d+:)?\d+)?(?:, ?\d+(?:-\d+)?)*")
# A question on a chapter as a whole, or on the book's introduction.
_WHOLE = re.compile(r"(?:\d+|front):intro")
_MARKS = " .,;:!?“”\"'‘’"
# As many letters of a word tell it in most of its forms: return, returned.
_STEM, _SHORTEST = 4, 3

_log = logging.getLogger(__name__)


@dataclass
class Questions:
    """The questions of a folder, as a family.

    Attributes:
        folder: Where the files are.
        most_words: The longest answer that is taken.
        dropped: Why questions were left out, with their number; filled by `questions`.
    """

    folder: Path
    most_words: int = MOST_WORDS
    dropped: Counter[str] = field(default_factory=Counter)

    TYPE = TYPE
    OPEN_BOOK = OPEN_BOOK

    def questions(self, bible: Bible) -> Iterator[Item]:
        """The questions that the King James text answers in few words, in the order of the Bible.

        Raises:
            ConfigError: There are no such files, or a line is malformed; file and line are named.
        """
        self.dropped.clear()
        asked: set[tuple[str, str]] = set()
        for path in _files(self.folder):
            for number, cells in _rows(path):
                try:
                    item = _item(path, cells, bible)
                except ConfigError as error:
                    raise ConfigError(f"{path}:{number}: {error}") from None
                if why := self._why_not(item, asked):
                    self.dropped[why] += 1
                else:
                    asked.add((item.context, item.question))
                    yield item
        left_out = ", ".join(f"{count:,} {why}" for why, count in sorted(self.dropped.items())) or "none"
        _log.info("translation questions of %s: %d taken; left out: %s", self.folder, len(asked), left_out)

    def _why_not(self, item: Item, asked: set[tuple[str, str]]) -> str:
        """Why an item is not taken; empty if it is."""
        from bibleqa.data.build import answer_stands  # which builds datasets from this

        if not item.context:
            return "about a whole chapter"
        if not item.answer or not answer_stands(item):
            return "whose answer does not stand in the King James text"
        if len(item.answer.split()) > self.most_words:
            return f"with an answer of more than {self.most_words} words"
        if gives_itself_away(item):
            return "that give themselves away"
        return "asked twice" if (item.context, item.question) in asked else ""


def _item(path: Path, cells: list[str], bible: Bible) -> Item:
    """The item of a row; without an answer if the text has none, without a context if it is about a whole chapter.

    Raises:
        ConfigError: The reference is none, or a column is empty that must not be.
    """
    row = dict(zip(COLUMNS, cells, strict=True))
    for column in ("Reference", "ID", "Question"):
        if not row[column]:
            raise ConfigError(f"the column {column} is empty")
    book, place = _book(path), row["Reference"].replace("–", "-")
    whole = bool(_WHOLE.fullmatch(place))
    if not whole and not _PLACE.fullmatch(place):
        raise ConfigError(f'"{place}" is not a reference (expected e.g. 1:3 or 1:3-5)')
    verses = [] if whole else bible.passage(f"{book} {place}")
    response = row["Response"].strip(_MARKS)
    answer = _short(response, row["Question"], " ".join(verse.text for verse in verses))
    return Item(
        id=f"{TYPE}:{book.replace(' ', '-')}:{place}:{row['ID']}",
        context=context_of(verses),
        question=row["Question"],
        answer=answer,
        type=TYPE,
        reference=f"{book} {place}",
        variants=(response,) if answer != response else (),
    )


def _short(response: str, question: str, text: str) -> str:
    """The end of a response that stands in the text, if what precedes it is grammar or repeats the question."""
    row = response.split()
    asked = tuple(word[:_STEM] for word in words(question) if len(word) >= _SHORTEST)
    for start in range(len(row)):
        end = " ".join(row[start:]).strip(_MARKS)
        if contains(text, end):
            before = words(" ".join(row[:start]))
            known = all(word in SMALL or word.startswith(asked) for word in before)
            return end if known and not SMALL.issuperset(words(end)) else ""
    return ""


def digest(folder: Path) -> str:
    """Changes when a file of the folder does.

    Raises:
        ConfigError: There are no such files, or one cannot be read.
    """
    found = hashlib.sha256()
    for path in _files(folder):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from None
        found.update(f"{path.name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return found.hexdigest()


def _files(folder: Path) -> list[Path]:
    """The files in the order of the Bible."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder; set dataset.folder to the one with the {_FILES} files")
    found = [path for path in folder.iterdir() if path.match(_FILES)]
    if not found:
        raise ConfigError(f"{folder}: no {_FILES} files; download https://git.door43.org/unfoldingWord/en_tq")
    return sorted(found, key=_number)


def _number(path: Path) -> int:
    code = path.stem.removeprefix("tq_")
    if code.lower() not in CODES:
        raise ConfigError(f"{path}: {code} is not the code of a book (expected e.g. tq_GEN.tsv)")
    return CODES[code.lower()]


def _book(path: Path) -> str:
    return BOOKS[_number(path) - 1].name


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header with their line numbers, seven columns each."""
    header_seen = False
    for number, line in lines(path):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if not header_seen:
            if tuple(cells) != COLUMNS:
                raise ConfigError(f"{path}:{number}: not the columns {', '.join(COLUMNS)}, but {', '.join(cells)}")
            header_seen = True
            continue
        if len(cells) != len(COLUMNS):
            raise ConfigError(f"{path}:{number}: {len(cells)} columns instead of {len(COLUMNS)}; is it truncated?")
        yield number, cells
    if not header_seen:
        raise ConfigError(f"{path}: empty; expected the columns {', '.join(COLUMNS)}")
