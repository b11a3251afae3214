"""The dataset `strongs`, built for real."""

from collections import Counter
from pathlib import Path

import pytest

from bibleqa.data.build import ensure_built
from bibleqa.data.datasets import RECIPES
from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible
from bibleqa.data.reader import read_items
from bibleqa.text import words

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def strongs(sword_store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Item]]:
    folder = ensure_built(tmp_path_factory.mktemp("strongs"), "strongs", store=sword_store)
    return {name: list(read_items(folder / f"{name}.jsonl")) for name in SPLITS}


def test_splits_share_no_chapter_no_number_and_no_ten_words(strongs: dict[str, list[Item]], bible: Bible) -> None:
    for one, other in (("test", "train"), ("test", "val"), ("val", "train")):
        for told in (chapters, numbers, runs):
            assert not told(strongs[one], bible) & told(strongs[other], bible), (one, other)


def chapters(items: list[Item], bible: Bible) -> set[object]:
    return {verse.chapter_id for item in items for verse in bible.cited(item.context)}


def numbers(items: list[Item], bible: Bible) -> set[object]:
    return {item.strongs_id for item in items if not bible.cited(item.context)}


def runs(items: list[Item], _: Bible) -> set[object]:
    rows = (words(f"{item.context} {item.question}") for item in items)
    return {row[i : i + 10] for row in rows for i in range(len(row) - 9)}


def test_every_family_is_in_every_split(strongs: dict[str, list[Item]]) -> None:
    counts = {name: Counter(item.type for item in items) for name, items in strongs.items()}
    for family in RECIPES["strongs"].corpus:
        for name, least in (("train", 500), ("val", 30), ("test", 40)):
            assert counts[name][family.TYPE] >= least, (name, family.TYPE)


def test_ids_are_unique_and_numbers_unpadded_without_suffix(strongs: dict[str, list[Item]]) -> None:
    items = [item for split in strongs.values() for item in split]
    assert len({item.id for item in items}) == len(items)
    assert all(item.strongs_id[0] in "HG" and item.strongs_id[1:].isdigit() for item in items)
    assert not [item for item in items if item.strongs_id[1] == "0"]
