"""The text and the whole dataset, loaded and built once for all tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bibleqa.data.corpus import Corpus
from bibleqa.data.datasets import RECIPES
from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible, kjv
from bibleqa.data.reader import read_items

_WHOLE = {"built", "dataset", "sword_folder", "sword_store", "corpus", "asked"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What builds the whole dataset or reads a whole corpus first takes more than a few seconds."""
    for item in items:
        if isinstance(item, pytest.Function) and _WHOLE & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def bible() -> Bible:
    return kjv()


@pytest.fixture(scope="session")
def dataset(built: Path) -> dict[str, list[Item]]:
    return {name: list(read_items(built / f"{name}.jsonl")) for name in ("train", "val", "test", "anchors")}


@pytest.fixture(scope="session")
def family(bible: Bible) -> Callable[[str], list[Item]]:
    """The items of a question family, before they are distributed over splits."""
    made: dict[str, list[Item]] = {}

    def items(name: str) -> list[Item]:
        if name not in made:
            made[name] = list(next(f for f in RECIPES["kjv"].text if name == f.TYPE).questions(bible))
        return made[name]

    return items


@pytest.fixture(scope="session")
def corpus(sword_store: Path) -> Corpus:
    return Corpus(sword_store)


@pytest.fixture(scope="session")
def asked(corpus: Corpus) -> Callable[[str], dict[str, Item]]:
    """The items of a question family that needs the store, by id."""
    made: dict[str, dict[str, Item]] = {}

    def items(name: str) -> dict[str, Item]:
        if name not in made:
            family = next(f for recipe in RECIPES.values() for f in recipe.corpus if name == f.TYPE)
            made[name] = {item.id: item for item in family.questions(corpus)}
        return made[name]

    return items
