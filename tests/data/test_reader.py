from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibleqa.data.item import Item, Turn
from bibleqa.data.reader import read_items
from bibleqa.errors import ConfigError

# Lone surrogates have no UTF-8.
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
items = st.builds(
    Item,
    id=texts,
    context=st.text(st.characters(exclude_categories=["Cs"])),
    question=texts,
    answer=texts,
    history=st.lists(st.builds(Turn, texts, texts), max_size=2).map(tuple),
    open_book=st.booleans(),
    variants=st.lists(texts, max_size=3).map(tuple),
)


def line(number: int) -> bytes:
    return Item(id=f"i{number}", context="", question="Who?", answer="Seth").to_json().encode()


def write(folder: Path, content: bytes) -> Path:
    path = folder / "items.jsonl"
    path.write_bytes(content)
    return path


@given(st.lists(items, unique_by=lambda item: item.id, max_size=5))
def test_what_is_written_is_read_back(written: list[Item]) -> None:
    with TemporaryDirectory() as folder:
        path = write(Path(folder), "".join(item.to_json() + "\n" for item in written).encode())
        assert list(read_items(path)) == written


def test_a_byte_order_mark_crlf_and_empty_lines_make_no_difference(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + line(1) + b"\r\n\r\n" + line(2) + b"\r\n")
    assert [item.id for item in read_items(path)] == ["i1", "i2"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{", "not JSON"),
        (b'{"id": "x", "question": "Who?"}', '"answer" is missing'),
        (b'{"id": "\xff"}', "not UTF-8 at byte 9"),
        (line(1), 'id "i1" stands already in line 1'),
    ],
)
def test_a_bad_line_is_named_with_its_number_and_how_many_were_good(tmp_path: Path, bad: bytes, reason: str) -> None:
    path = write(tmp_path, line(1) + b"\n" + line(2) + b"\n\n" + bad + b"\n")
    with pytest.raises(ConfigError) as caught:
        list(read_items(path))
    assert str(caught.value).startswith(f"{path}:4: {reason}")
    assert str(caught.value).endswith("(2 good lines before it)")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*missing\.jsonl: No such file"):
        list(read_items(tmp_path / "missing.jsonl"))
