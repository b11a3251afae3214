"""Persons, places and other proper names, one record for each individual: STEPBible's TIPNR.

A record is `$========== PERSON(s)` (or PLACE, OTHER), a row about the individual, and a row for each form of the name,
led by a dash. Templates of the records stand at the head of the file, and examples at its end.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bibleqa.data.corpora.records import ProperName, Reading, Reject, Strongs
from bibleqa.data.corpora.stepbible import check_columns, check_header, lines, split, verse_id

_RECORD, _RULE = "$==========", "‖==="
_KINDS = {"PERSON(s)": "person", "PLACE": "place", "OTHER": "other"}
# Of the templates; an eighth column, which one of them leaves unnamed, has the summary of persons and places.
HEADERS = {
    "person": (
        "UnifiedName=uStrong",
        "Description",
        "Parents Male+Female",
        "Siblings",
        "Partners",
        "Offspring",
        "Tribe/Nation of father",
    ),
    "place": (
        "UniqueName=uStrong",
        "OpenBible name=Near",
        "Founder / origin",
        "People living there",
        "GoogleMap URL",
        "Palopenmaps URL",
        "Geographical area",
    ),
    "other": ("UniqueName=uStrong", "Description"),
}
_COLUMNS = {"person": 8, "place": 8, "other": 2}
_FORM_COLUMNS = 6
_DISTANT = {"father": "ancestor", "mother": "ancestor", "child": "descendant"}
# What follows is no data; the end of the table is also marked by a `$` alone.
_ENDS = ("ANNOTATED EXAMPLES", "$")

# Without the last book it stands in (`Aaron@Exo.4.14-Heb`), which the source adds for human readers.
# In a relation the form of the name may be before it (`Maacathite|Maacath@Jos.13.13`).
_UNIQUE = re.compile(
    r"(?:[^@=|]*\|)?(?P<unique>[^@=|]+@\w{3}\.\d+\.\d+[a-z]?)(?:-\w*)?(?:\((?P<doubt>[d?]+)\))?", re.ASCII
)
# Noah's wife, of whom the Bible has no name.
_NOT_IN_THE_BIBLE = "@Tradition"
_VERSE = re.compile(r"\[?(?P<book>\w{3})\.(?P<chapter>\d+)\.(?P<verse>\d+)[a-z]?\]?", re.ASCII)
# Of the Septuagint alone; and where the source breaks off, as it does for LORD.
_NO_VERSES = ("LXX.", "Etc.")
_NUMBER = re.compile(r"([HG]\d{4,5}[A-Za-z]?)«")
_KJV = re.compile(r"[(;]\s*(?:\w+, )*KJV(?:, \w+)*=\s*(?P<name>[A-Z][^;,()]*)")
_MARKUP = re.compile(r"<[^<>]*>")


@dataclass
class _Record:
    """An individual while its rows are read."""

    kind: str
    unique: str
    name: str
    description: str
    relations: list[tuple[str, str]]
    forms: list["_Form"] = field(default_factory=list)


@dataclass(frozen=True)
class _Form:
    """A row of a record: a form of the name.

    Attributes:
        group: Whether it is that of the people called after the individual.
        combined: Whether the numbers are of the parts of a name in several words.
        own: Whether it is the name that the record goes by, not another of the individual's (`Abram|Abraham@…`).
        kjv: How the King James Version spells it, where that differs.
        strongs: Numbers, unpadded.
        verses: BBCCCVVV.
    """

    group: bool
    combined: bool
    own: bool
    kjv: str
    strongs: list[str]
    verses: list[int]


def names(path: Path, reading: Reading) -> Iterator[ProperName]:
    """The individuals of the file in order; those without a name in the Bible among them (`daughter of Machir`).

    The numbers keep their suffix, for it tells one bearer of the name from the other (H5653G, H5653H). Numbers and
    verses are those of the individual's own forms, not of peoples called after it, unless it has no others. In
    `relations` a relation in doubt has a question mark (`father?`), and `ancestor` and `descendant` are for what the
    source marks as not of the next generation. Readings of the Septuagint alone (`LXX.Est.3.1`) are no verses here.

    Raises:
        ConfigError: The file is of another version of the format, or not UTF-8.
    """
    record: _Record | None = None
    kind = ""
    known: set[str] = set()
    number, ended = 0, False
    for number, line in lines(path):
        cells = split(line)
        if cells[0] in _ENDS:
            ended = True
            break
        if not any(cells) or cells[0].startswith(_RULE):
            continue
        if cells[0].startswith(_RECORD):
            kind = cells[0].removeprefix(_RECORD).strip()
            if record:
                yield _proper_name(record)
            record = None
        elif cells[0].endswith("=uStrong") and kind in _KINDS:
            check_header(path, number, cells, HEADERS[_KINDS[kind]])
            kind = ""
        elif kind:
            with reading.row(number):
                expected, kind = kind, ""
                record = _record(expected, cells)
                # Two are called Malchijah at Ezra 10:25; their numbers tell them apart.
                if record.unique in known:
                    record.unique += f"={cells[0].rpartition('=')[2]}"
                known.add(record.unique)
        elif record:
            with reading.row(number):
                record.forms.append(_form(record.unique.partition("=")[0], cells))
    if record:
        yield _proper_name(record)
    if known and not ended:
        reading.rejects.append(Reject(path.name, number, "ends without the $ that closes the table: it is truncated"))


def _record(kind: str, cells: list[str]) -> _Record:
    if kind not in _KINDS:
        raise ValueError(f"{kind!r} is no kind of record (expected {', '.join(_KINDS)})")
    kind = _KINDS[kind]
    check_columns(cells, _COLUMNS[kind])
    unique, equals, _ = cells[0].rpartition("=")
    match = _UNIQUE.fullmatch(unique)
    if not equals or not match:
        raise ValueError(f"{cells[0]!r} is not a unique name (expected e.g. Aaron@Exo.4.14-Heb=H0175)")
    relations: list[tuple[str, str]] = []
    if kind == "person":
        father, _, mother = cells[2].partition("+")
        parts = (("father", father), ("mother", mother), ("sibling", cells[3]), ("spouse", cells[4]))
        for relation, text in (*parts, ("child", cells[5])):
            relations += _relations(relation, text)
    if kind == "place":
        # Some have a remark in these columns, or the columns that come after.
        for relation, text in (("founder", cells[2]), ("inhabitant", cells[3])):
            known = (item for item in text.split(",") if _UNIQUE.fullmatch(item.strip()))
            relations += _relations(relation, ",".join(known))
    summary = next((cell for cell in cells if cell.startswith("#")), "")
    described = summary if kind == "place" else cells[1] or summary
    return _Record(
        kind=kind,
        unique=match["unique"],
        name=match["unique"].partition("@")[0].replace("_", " "),
        description=" ".join(html.unescape(_MARKUP.sub("", described)).lstrip("#").replace("_", " ").split()),
        relations=relations,
    )


def _relations(relation: str, text: str) -> Iterator[tuple[str, str]]:
    for item in text.split(","):
        if not item.strip(" >=") or item.strip().endswith(_NOT_IN_THE_BIBLE):
            continue
        match = _UNIQUE.fullmatch(item.strip())
        if not match:
            raise ValueError(f"{item.strip()!r} is not a unique name of a {relation}")
        doubt = match["doubt"] or ""
        told = _DISTANT.get(relation, relation) if "d" in doubt else relation
        yield told + ("?" if "?" in doubt else ""), match["unique"]


def _form(unique: str, cells: list[str]) -> _Form:
    check_columns(cells, _FORM_COLUMNS)
    if not cells[0].startswith(("–", "-")):
        raise ValueError(f"{cells[0]!r} is neither a record nor a form of a name")
    significance = cells[0].lstrip("–- ")
    verses = []
    for reference in cells[5].split(";"):
        if not reference.strip() or reference.strip().startswith(_NO_VERSES):
            continue
        match = _VERSE.fullmatch(reference.strip())
        if not match:
            raise ValueError(f"{reference.strip()!r} is not a reference (expected e.g. Exo.4.14)")
        verses.append(verse_id(match["book"], int(match["chapter"]), int(match["verse"])))
    kjv = _KJV.search(cells[3])
    return _Form(
        group=significance == "Group",
        combined="Combined" in significance,
        own=cells[1].startswith(unique),
        kjv=kjv["name"].strip() if kjv else "",
        strongs=[str(Strongs.parse(number)) for number in _NUMBER.findall(cells[2])],
        verses=verses,
    )


def _proper_name(record: _Record) -> ProperName:
    forms = [form for form in record.forms if not form.group] or record.forms
    whole = [form for form in forms if form.strongs and not form.combined] or forms
    found = [form for form in forms if form.verses] or record.forms
    spellings = [form.kjv for form in forms if form.own]
    return ProperName(
        kind=record.kind,
        # The King James Version may spell the Hebrew form otherwise, and the Greek one not.
        name=spellings[0] if spellings and all(spellings) else record.name,
        unique=record.unique,
        strongs=tuple(dict.fromkeys(number for form in whole for number in form.strongs)),
        description=record.description,
        relations=tuple(record.relations),
        verses=tuple(sorted({verse for form in found for verse in form.verses})),
    )
