"""Which verse it is in another numbering: English, Hebrew, Greek and Latin Bibles do not count alike.

The context has the rows of the mapping around the verse, from TVTMS where it is in the store and else from
`versiref` (see `bibleqa.data.versification`). Only verses are asked about that are the whole of each other.
"""

from collections.abc import Iterator

from bibleqa.data.corpus import Corpus
from bibleqa.data.item import Item
from bibleqa.data.questions.craft import choose, digest, select
from bibleqa.data.reference import BOOKS, PSALMS, TITLE, Reference
from bibleqa.data.versification import TRADITIONS, Versification, versification

TYPE = "versification"
OPEN_BOOK = True

_SHARE, _LIMIT = 0.01, 600
# Of a chapter in a tradition, where a whole psalter differs by one.
_OF_A_CHAPTER = {"hebrew": 3, "greek": 2, "latin": 1}
_ROWS_BEFORE = (1, 2, 3, 4)
_ROWS = 6
_NAMES = {"hebrew": "Hebrew", "greek": "Greek", "latin": "Latin"}

_THERE = (
    "Which verse is {verse} in the {name} numbering?",
    "How do {name} Bibles number {verse}?",
    "What is {verse} of English Bibles called in the {name} numbering?",
    "Under which number do you find {verse} in a {name} Bible?",
)
_BACK = (
    "Which verse of an English Bible is {verse} in the {name} numbering?",
    "{name} Bibles have a {verse}. Which verse is that in English?",
    "What is {verse} of the {name} numbering in English Bibles?",
)
_AGREE = (
    "Up to which verse of {chapter} do English and {name} Bibles number alike?",
    "Which is the last verse of {chapter} before the English and {name} numbers part?",
)


def questions(corpus: Corpus) -> Iterator[Item]:
    """The number of a verse in another tradition, both ways, and where the numbers begin to differ."""
    numbering = versification(corpus.mappings())
    made = (item for tradition in TRADITIONS for book in _chapters() for item in _few(numbering, tradition, book))
    return iter(select(made, _SHARE, _LIMIT))


def _chapters() -> Iterator[list[int]]:
    """The English verses of each chapter, with the titles of psalms."""
    for book in BOOKS:
        for chapter, count in enumerate(book.verses, start=1):
            verses = (Reference(book.number, chapter, verse) for verse in range(TITLE, count + 1))
            yield [verse.id for verse in verses if verse.exists]


def _few(numbering: Versification, tradition: str, chapter: list[int]) -> list[Item]:
    items = list(_items(numbering, tradition, chapter))
    return sorted(items, key=lambda item: digest(item.id))[: _OF_A_CHAPTER[tradition]]


def _items(numbering: Versification, tradition: str, chapter: list[int]) -> Iterator[Item]:
    alike = [numbering.to(tradition, verse) == ((verse, ""),) for verse in chapter]
    for at, verse in enumerate(chapter):
        match numbering.to(tradition, verse):
            case ((number, ""),) if number != verse and numbering.from_(tradition, number) == ((verse, ""),):
                back = choose(f"{TYPE}:way:{tradition}:{verse}", (False, False, True))
                asked, answer, wordings = (number, verse, _BACK) if back else (verse, number, _THERE)
                yield _item(numbering, tradition, chapter, at, "back" if back else "there", wordings, asked, answer)
    # Titles apart, they agree from the first verse on, and after the first that differs no more.
    agreeing = alike.index(False) if False in alike else 0
    if agreeing > 1 and not any(alike[agreeing:]) and numbering.to(tradition, chapter[agreeing]):
        last = chapter[agreeing - 1]
        yield _item(numbering, tradition, chapter, agreeing - 1, "agree", _AGREE, last, last)


def _item(
    numbering: Versification,
    tradition: str,
    chapter: list[int],
    at: int,
    kind: str,
    wordings: tuple[str, ...],
    asked: int,
    answer: int,
) -> Item:
    """The item about the verse at that place of its chapter."""
    key = f"{TYPE}:{tradition}:{chapter[at]}:{kind}"
    start = max(0, min(at - choose(f"rows:{key}", _ROWS_BEFORE), len(chapter) - _ROWS))
    rows = chapter[start : start + _ROWS]
    told, place = _told(answer), Reference.from_id(answer)
    return Item(
        id=key,
        context="\n".join(_row(numbering, tradition, verse) for verse in rows),
        question=choose(f"wording:{key}", wordings).format(
            verse=_told(asked), chapter=_told(asked).rpartition(":")[0], name=_NAMES[tradition]
        ),
        answer=told,
        type=TYPE,
        # A title is no verse of the King James text; the psalm's first verse stands for it.
        reference=str(Reference.from_id(max(chapter[at], chapter[at] // 1000 * 1000 + 1))),
        variants=ways_to_write(place),
    )


def _row(numbering: Versification, tradition: str, verse: int) -> str:
    """`English Psalm 51:1 = Hebrew Psalm 51:3`."""
    numbers = numbering.to(tradition, verse)
    if not numbers:
        return f"English {_told(verse)} is not in {_NAMES[tradition]} Bibles"
    # A letter says which part of that number it is; of several numbers, which part of the verse each is.
    letters = len(numbers) == 1
    found = " and ".join(_told(number) + (part if letters else "") for number, part in numbers)
    return f"English {_told(verse)} = {_NAMES[tradition]} {found}"


def _told(verse: int) -> str:
    """`Psalm 51:3`, `the title of Psalm 51`."""
    reference = Reference.from_id(verse)
    if reference.verse == TITLE:
        return f"the title of Psalm {reference.chapter}"
    return str(reference).replace("Psalms", "Psalm")


def ways_to_write(place: Reference) -> tuple[str, ...]:
    """Other ways to write the reference of a verse: without the book, and with the book's short names."""
    if place.verse == TITLE:
        return (f"Psalm {place.chapter} title", f"{place}", "the title")
    number = f"{place.chapter}:{place.verse}"
    whole = (f"Psalms {number}",) if place.book == PSALMS else ()
    short = (f"{book} {number}" for book in (place.in_book.osis, *place.in_book.abbreviations))
    return tuple(dict.fromkeys((*whole, number, *short)))
