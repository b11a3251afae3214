from pathlib import Path

import pytest

from bibleqa.data.build import answer_stands, ensure_translation_questions
from bibleqa.data.kjv import Bible
from bibleqa.data.reader import read_items
from bibleqa.data.translation_questions import COLUMNS, Questions, digest
from bibleqa.errors import ConfigError

ROWS = [
    ("1:4", "aa01", "Which women did the sons of Naomi marry?", "They married Orpah and Ruth."),
    ("2:3", "aa02", "Whose field did Ruth come to?", "She came to a field that belonged to Boaz."),
    ("2:17", "aa03", "How much barley did Ruth have in the evening?", "She had about an ephah of barley."),
    ("4:2", "aa04", "Whom did Boaz ask to sit down?", "He asked ten men of the elders of the city."),
    ("4:17", "aa05", "What was the name of the child?", "The child’s name was “Obed.”"),
    ("4:21-22", "aa06", "Who was the son of Obed?", "Jesse"),
    ("4:17", "aa07", "Whose father and grandfather was Obed?", "He was father of Jesse and grandfather of David."),
    ("1:intro", "aa08", "What is the chapter about?", "Ruth"),
    ("4:11", "aa09", "Did the people agree?", ""),
    ("4:17", "aa10", "What was the name of the child?", "Obed"),
]


def tsv(rows: list[tuple[str, str, str, str]], end: str = "\n") -> bytes:
    lines = ["\t".join(COLUMNS), *("\t".join((ref, key, "", "", "", ask, say)) for ref, key, ask, say in rows)]
    return (end.join(lines) + end).encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tq_RUT.tsv").write_bytes(tsv(ROWS))
    (tmp_path / "README.md").write_text("not a table", encoding="utf-8")
    return tmp_path


def test_short_answers_that_stand_in_the_text_are_taken(folder: Path, bible: Bible) -> None:
    found = {item.id.rpartition(":")[2]: item for item in Questions(folder).questions(bible)}
    assert {key: item.answer for key, item in found.items()} == {
        "aa03": "about an ephah of barley",
        "aa04": "ten men of the elders of the city",
        "aa05": "Obed",
        "aa06": "Jesse",
    }
    assert found["aa06"].reference == "Ruth 4:21-22"
    assert found["aa06"].context.startswith("[Ruth 4:21] And Salmon begat Boaz")
    assert "\n[Ruth 4:22] " in found["aa06"].context
    assert found["aa05"].accepted == ("Obed", "The child’s name was “Obed")
    assert all(item.type == "translation_questions" and item.open_book for item in found.values())
    assert all(answer_stands(item) for item in found.values())


def test_what_is_left_out_is_counted(folder: Path, bible: Bible) -> None:
    family = Questions(folder)
    taken = list(family.questions(bible))
    assert len(taken) + sum(family.dropped.values()) == len(ROWS)
    assert family.dropped["asked twice"] == 1
    assert family.dropped["about a whole chapter"] == 1
    assert {item.answer for item in Questions(folder, most_words=1).questions(bible)} == {"Obed", "Jesse"}


def test_line_ends_and_a_byte_order_mark_make_no_difference(folder: Path, bible: Bible) -> None:
    before = list(Questions(folder).questions(bible))
    (folder / "tq_RUT.tsv").write_bytes(b"\xef\xbb\xbf" + tsv(ROWS, "\r\n"))
    assert list(Questions(folder).questions(bible)) == before


def test_books_come_in_the_order_of_the_bible_and_the_digest_is_of_all(folder: Path, bible: Bible) -> None:
    before = digest(folder)
    (folder / "tq_1SA.tsv").write_bytes(tsv([("1:20", "bb01", "What was the name of the child?", "Samuel")]))
    (folder / "tq_GEN.tsv").write_bytes(tsv([("1:5", "bb02", "What did God call the light?", "Day")]))
    references = [item.reference for item in Questions(folder).questions(bible)]
    assert references[0] == "Genesis 1:5"
    assert references[-1] == "1 Samuel 1:20"
    assert digest(folder) != before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tq_RUT.tsv", tsv([ROWS[0], ("4:99", "x", "Who?", "Ruth")]), r"tq_RUT\.tsv:3: .*4:99"),
        ("tq_RUT.tsv", tsv([("chapter 1", "x", "Who?", "Ruth")]), r"tq_RUT\.tsv:2: .*not a reference"),
        ("tq_RUT.tsv", tsv(ROWS[:1]) + b"4:1\tx\t\t\t", r"tq_RUT\.tsv:3: 5 columns instead of 7"),
        ("tq_RUT.tsv", tsv([("1:1", "x", "", "Ruth")]), r"tq_RUT\.tsv:2: the column Question is empty"),
        ("tq_RUT.tsv", tsv(ROWS[:1]).replace(b"ID", b"Id"), r"tq_RUT\.tsv:1: not the columns Reference, ID"),
        ("tq_RUT.tsv", tsv(ROWS[:1]) + b"\xff", r"tq_RUT\.tsv:3: not UTF-8"),
        ("tq_RUT.tsv", b"", r"tq_RUT\.tsv: empty"),
        ("tq_XYZ.tsv", tsv(ROWS[:1]), r"tq_XYZ\.tsv: XYZ is not the code of a book"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, bible: Bible, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        list(Questions(tmp_path).questions(bible))


def test_a_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no tq_"):
        digest(tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        digest(tmp_path / "nowhere")


def test_they_are_built_into_a_dataset(folder: Path, tmp_path: Path) -> None:
    target = ensure_translation_questions(tmp_path / "processed", folder)
    built = [item for split in ("train", "val", "test") for item in read_items(target / f"{split}.jsonl")]
    assert {item.type for item in built} == {"translation_questions"}
