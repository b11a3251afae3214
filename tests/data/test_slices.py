"""Which questions a run takes."""

import tracemalloc
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from dummies import item
from hypothesis import given
from hypothesis import strategies as st

from bibleqa.data import build
from bibleqa.data.item import Item, Turn
from bibleqa.data.slices import Dataset, book_of, load
from bibleqa.errors import ConfigError
from bibleqa.schema import BuiltConfig, JsonlConfig

TYPES = ("kinship", "number", "speaker")
BOOKS = ("Genesis", "1 Samuel", "John")
SPLITS = ("train", "val", "test")


def pool(first: int, count: int, **values: Any) -> list[Item]:
    """Questions of all families and books, in turn; two in three of the first family."""
    return [
        replace(
            item(n),
            **{"type": TYPES[n % 3] if n % 9 < 3 else TYPES[0], "reference": f"{BOOKS[n % 3]} {n}:1-2", **values},
        )
        for n in range(first, first + count)
    ]


def write(path: Path, items: Iterable[Item]) -> None:
    path.write_text("".join(f"{item.to_json()}\n" for item in items), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of 90 train, 30 val, 60 test and 20 hand-written questions, in place of the built one."""
    write(tmp_path / "train.jsonl", pool(0, 90))
    write(tmp_path / "val.jsonl", pool(100, 30))
    write(tmp_path / "test.jsonl", pool(200, 60))
    anchors = pool(300, 20)
    write(tmp_path / "anchors.jsonl", [replace(anchor, id=f"anchor:{anchor.id}") for anchor in anchors])
    monkeypatch.setattr(build, "ensure_built", lambda *_, **__: tmp_path)
    return tmp_path


def kjv(**values: Any) -> Dataset:
    wanted = {"max_train": 20, "max_val": 6, "max_test": 10, "open_book": None, **values}
    return load(BuiltConfig(name="kjv", **wanted))


def jsonl(folder: Path, **values: Any) -> Dataset:
    files = {split: str(folder / f"{split}.jsonl") for split in SPLITS}
    return load(JsonlConfig(name="jsonl", **{"open_book": None, **files, **values}))


@pytest.mark.usefixtures("folder")
class TestSlice:
    def test_it_has_the_sizes_that_are_asked_for(self) -> None:
        assert {name: len(items) for name, items in kjv().splits.items()} == {"train": 20, "val": 6, "test": 10}

    def test_the_same_seed_gives_the_same_slice(self) -> None:
        assert kjv(seed=3) == kjv(seed=3)
        assert kjv(seed=3).digest == kjv(seed=3).digest

    def test_another_seed_gives_another(self) -> None:
        assert kjv(seed=3).digest != kjv(seed=4).digest
        assert set(kjv(seed=3).train) != set(kjv(seed=4).train)

    def test_a_larger_slice_begins_with_the_smaller_one(self) -> None:
        assert kjv(max_train=40).train[:20] == kjv().train

    def test_empty_means_all(self) -> None:
        everything = kjv(max_train=None, max_val=None, max_test=None)
        assert {name: len(items) for name, items in everything.splits.items()} == {"train": 90, "val": 30, "test": 80}

    @pytest.mark.parametrize("size", [3, 6, 9, 20])
    def test_the_families_come_in_turn(self, size: int) -> None:
        counts = Counter(item.type for item in kjv(max_train=size).train)
        assert max(counts.values()) - min(counts.values()) <= 1
        assert len(counts) == 3

    def test_a_family_that_runs_out_leaves_its_place_to_the_others(self) -> None:
        counts = Counter(item.type for item in kjv(max_train=80).train)
        assert counts["number"] == counts["speaker"] == 10
        assert counts["kinship"] == 60

    def test_a_family_comes_as_often_as_it_weighs(self) -> None:
        counts = Counter(item.type for item in kjv(max_train=28, weights={"number": 0.5, "kinship": 2}).train)
        assert counts == {"kinship": 16, "speaker": 8, "number": 4}

    def test_a_family_of_no_weight_is_left_out(self) -> None:
        dataset = kjv(max_train=None, max_test=None, weights={"number": 0})
        assert {item.type for item in [*dataset.train, *dataset.test]} == {"kinship", "speaker"}

    @pytest.mark.parametrize(("share", "anchors"), [(0.0, 0), (0.4, 4), (0.25, 2), (1.0, 10)])
    def test_the_hand_written_have_their_share_of_the_test(self, share: float, anchors: int) -> None:
        dataset = kjv(anchor_share=share)
        assert dataset.anchors == anchors
        assert len(dataset.test) == 10

    def test_generated_questions_make_up_for_missing_hand_written_ones(self) -> None:
        dataset = kjv(max_test=60, anchor_share=0.5)
        assert (dataset.anchors, len(dataset.test)) == (20, 60)

    def test_the_hand_written_alone_stay_alone(self) -> None:
        assert len(kjv(anchor_share=1.0, max_test=50).test) == 20

    def test_builds_that_are_none_and_weights_of_no_family_are_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"dataset\.builds=\[\]"):
            kjv(builds=[])
        with pytest.raises(ConfigError, match=r"dataset\.weights=kinshp.*kinship"):
            kjv(weights={"kinshp": 2.0})

    def test_hand_written_questions_are_for_the_test_alone(self) -> None:
        everything = kjv(max_train=None, max_val=None, max_test=None)
        assert not [item for item in [*everything.train, *everything.val] if item.id.startswith("anchor:")]
        assert everything.anchors == 20

    def test_types_and_books_choose(self) -> None:
        dataset = kjv(types=["kinship", "number"], books=["Genesis", "1 Samuel"], max_train=None)
        for items in dataset.splits.values():
            assert {item.type for item in items} == {"kinship", "number"}
            assert {book_of(item.reference) for item in items} == {"Genesis", "1 Samuel"}
        assert len(dataset.train) == len([i for i in pool(0, 90) if i.type != "speaker" and "John" not in i.reference])

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"types": ["kinship", "kin"]}, "dataset.types=kin: there is none in this dataset; it has kinship, number"),
            ({"books": ["Gen"]}, "dataset.books=Gen: there is none in this dataset; it has 1 Samuel, Genesis, John"),
            ({"open_book": False}, "dataset: no train questions are left; loosen dataset.types, books or open_book"),
            ({"types": ["speaker"], "books": ["Genesis"]}, "dataset: no train questions are left"),
        ],
        ids=str,
    )
    def test_a_slice_of_nothing_is_refused(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError) as caught:
            kjv(**values)
        assert str(caught.value).startswith(message)


def test_open_book_chooses(folder: Path) -> None:
    for split, first in zip(SPLITS, (0, 100, 200), strict=True):
        write(folder / f"{split}.jsonl", [*pool(first, 5), *pool(first + 50, 7, open_book=False)])
    assert [len(jsonl(folder, open_book=which).train) for which in (True, False, None)] == [5, 7, 12]


@pytest.mark.parametrize("split", ["train", "val"])
def test_test_questions_that_the_optimizer_sees_are_refused(folder: Path, split: str) -> None:
    write(folder / "test.jsonl", [*pool(200, 5), replace(item(1), id="again")])
    write(folder / f"{split}.jsonl", [*pool(100, 5), item(1)])
    with pytest.raises(ConfigError, match="1 test questions stand in train or val too, the first is again"):
        jsonl(folder)


def test_the_same_words_with_another_history_are_another_question(folder: Path) -> None:
    follow_up = replace(item(1), id="again", history=(Turn("Who?", "He"),))
    write(folder / "test.jsonl", [*pool(200, 5), follow_up])
    assert follow_up in jsonl(folder, max_test=None).test


def test_a_malformed_line_is_named_with_its_file(folder: Path) -> None:
    with (folder / "val.jsonl").open("a") as file:
        file.write("{\n")
    with pytest.raises(ConfigError, match=r"val\.jsonl:31: not JSON: .* \(30 good lines before it\)$"):
        jsonl(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "test.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"cannot read .*test\.jsonl: No such file"):
        jsonl(folder)


def test_an_empty_file_is_an_empty_slice(folder: Path) -> None:
    write(folder / "val.jsonl", [])
    with pytest.raises(ConfigError, match="no val questions are left"):
        jsonl(folder)


@given(st.permutations(pool(0, 12)), st.integers(1, 12), st.integers(0, 5))
def test_the_order_of_the_file_does_not_matter(items: list[Item], most: int, seed: int) -> None:
    def taken(items: Iterable[Item]) -> list[Item]:
        with TemporaryDirectory() as folder:
            for split, questions in {"train": items, "val": pool(20, 1), "test": pool(30, 1)}.items():
                write(Path(folder) / f"{split}.jsonl", questions)
            return jsonl(Path(folder), max_train=most, seed=seed).train

    assert taken(items) == taken(pool(0, 12))


def test_questions_that_a_run_does_not_take_stay_in_their_file(folder: Path) -> None:
    row = replace(item(0), context="x" * 1000)
    write(folder / "train.jsonl", (replace(row, id=f"many{n}", question=f"Who begat {n}?") for n in range(10_000)))
    tracemalloc.start()
    dataset = jsonl(folder, max_train=5)
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(dataset.pool) == 10_000
    assert list(dataset.pool[:5]) == dataset.train
    assert dataset.pool[9_999].id.startswith("many")
    assert held < 1e6 < 10e6 < (folder / "train.jsonl").stat().st_size
    assert most < 6e6


def test_the_digest_tells_content_order_and_split_apart() -> None:
    one, two, three = pool(0, 3)
    datasets = [
        Dataset([one], [two], [three]),
        Dataset([two], [one], [three]),
        Dataset([one, two], [], [three]),
        Dataset([two, one], [], [three]),
        Dataset([one], [two], [replace(three, answer="other")]),
    ]
    assert len({dataset.digest for dataset in datasets}) == len(datasets)


@pytest.mark.parametrize(
    ("reference", "book"),
    [("Genesis 5:6", "Genesis"), ("1 Samuel 17:4-7", "1 Samuel"), ("Song of Solomon 1:1", "Song of Solomon"), ("", "")],
)
def test_the_book_of_a_reference(reference: str, book: str) -> None:
    assert book_of(reference) == book
