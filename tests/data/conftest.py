"""The text and the whole dataset, loaded and built once for all tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bibleqa.data.build import ensure_built
from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible, kjv
from bibleqa.data.questions import FAMILIES
from bibleqa.data.reader import read_items


@pytest.fixture(scope="session")
def bible() -> Bible:
    return kjv()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_built(tmp_path_factory.mktemp("processed"))


@pytest.fixture(scope="session")
def dataset(built: Path) -> dict[str, list[Item]]:
    return {name: list(read_items(built / f"{name}.jsonl")) for name in ("train", "val", "test", "anchors")}


@pytest.fixture(scope="session")
def family(bible: Bible) -> Callable[[str], list[Item]]:
    """The items of a question family, before they are distributed over splits."""
    made: dict[str, list[Item]] = {}

    def items(name: str) -> list[Item]:
        if name not in made:
            made[name] = list(next(f for f in FAMILIES if name == f.TYPE).questions(bible))
        return made[name]

    return items
