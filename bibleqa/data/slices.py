"""Which questions of a dataset a run takes."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bibleqa import paths, provenance
from bibleqa.data.item import Item
from bibleqa.data.reader import Filed, placed_items
from bibleqa.errors import ConfigError
from bibleqa.schema import (
    BuiltConfig,
    CorpusConfig,
    DatasetConfig,
    FeedbackConfig,
    JsonlConfig,
    TranslationQuestionsConfig,
)

_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Dataset:
    """The questions of a run: train to learn from, val to choose by, test for the two reported scores."""

    train: list[Item]
    val: list[Item]
    test: list[Item]
    pool: Sequence[Item] = ()
    """All questions that train is the beginning of: a weight step learns from more than a prompt can show."""

    @cached_property
    def pool_digest(self) -> str:
        """sha256 of the pool, in its order."""
        return provenance.digest_lines(item.to_json() for item in self.pool)

    @property
    def splits(self) -> dict[str, list[Item]]:
        """The three by name, train first."""
        return {"train": self.train, "val": self.val, "test": self.test}

    @cached_property
    def digest(self) -> str:
        """sha256 of all of them, in their order."""
        return provenance.digest_lines(
            f"{name} {item.to_json()}" for name, items in self.splits.items() for item in items
        )

    @property
    def anchors(self) -> int:
        """How many of the test questions are hand-written."""
        return sum(item.id.startswith("anchor:") for item in self.test)


def load(config: DatasetConfig, corpus: CorpusConfig | None = None) -> Dataset:
    """The slice that a config asks for; dataset and corpus are built first where they are not there yet.

    Raises:
        ConfigError: A file is missing or malformed, a split comes out empty, or test questions stand in train.
    """
    sifted = {split: _Sifted(path, config) for split, path in files(config, corpus or CorpusConfig()).items()}
    _check_names(config, sifted.values())
    pool = sifted["train"].take(None)
    dataset = Dataset(
        pool=pool,
        train=list(pool[: config.max_train]),
        val=list(sifted["val"].take(config.max_val)),
        test=_with_anchors(sifted["test"], sifted.get("anchors"), config),
    )
    for split, items in dataset.splits.items():
        if not items:
            raise ConfigError(f"dataset: no {split} questions are left; loosen dataset.types, books or open_book")
    _check_apart(dataset, sifted["train"])
    return dataset


def files(config: DatasetConfig, corpus: CorpusConfig) -> dict[str, Path]:
    """The JSONL files of a whole dataset, by split; built first where they are not there yet.

    Raises:
        ConfigError: A source is missing or malformed.
    """
    if isinstance(config, JsonlConfig):
        return {split: Path(getattr(config, split)) for split in _SPLITS}
    # Here, since a user's own files need neither the text nor the seconds that its import takes.
    from bibleqa.data import build

    processed = paths.project() / "data" / "processed"
    if isinstance(config, FeedbackConfig):
        from bibleqa.data import feedback

        test = Path(config.test) if config.test else build.ensure_built(processed) / "anchors.jsonl"
        return feedback.split(processed, test, config.minimum)
    if isinstance(config, TranslationQuestionsConfig):
        folder = build.ensure_translation_questions(processed, Path(config.folder))
        return {split: folder / f"{split}.jsonl" for split in _SPLITS}
    assert isinstance(config, BuiltConfig)
    names, own = sorted(set(config.builds)), sorted(set(config.families))
    if not names and not own:
        raise ConfigError("dataset.builds=[]: at least one built dataset is needed, for instance [kjv]")
    folder = build.ensure_built(
        processed,
        "+".join([*names, *own]),
        config.context,
        store=build.store_for(names, config.context, corpus),
        recipe=build.recipe_of(names, own),
    )
    return {split: folder / f"{split}.jsonl" for split in (*_SPLITS, "anchors")}


def book_of(reference: str) -> str:
    """The book of a reference as people write it: `1 Samuel` of `1 Samuel 17:4-7`."""
    return reference.rpartition(" ")[0] or reference


class _Sifted:
    """What a config lets through of a file: the questions themselves stay there, however many they are."""

    def __init__(self, path: Path, config: DatasetConfig):
        self.types: set[str] = set()
        self.books: set[str] = set()
        self.asked: set[int] = set()
        """Hashes of what is asked."""
        self._path = path
        weights = config.weights if isinstance(config, BuiltConfig) else {}
        found: dict[str, list[tuple[bytes, int]]] = defaultdict(list)
        for place, item in placed_items(path):
            book = book_of(item.reference)
            self.types.add(item.type)
            self.books.add(book)
            if (
                (config.open_book is None or item.open_book == config.open_book)
                and (not config.types or item.type in config.types)
                and (not config.books or book in config.books)
                and weights.get(item.type, 1.0)
            ):
                found[item.type].append((hashlib.sha256(f"{config.seed} {item.id}".encode()).digest(), place))
                self.asked.add(_asked(item))
        turns = (
            (turn / weights.get(kind, 1.0), drawn, place)
            for kind, places in found.items()
            for turn, (drawn, place) in enumerate(sorted(places))
        )
        self._places = [place for _, _, place in sorted(turns)]

    def take(self, most: int | None) -> Filed:
        """So many questions, the families in turn by their weights, in an order that depends on seed and ids alone."""
        return Filed(self._path, self._places[:most])


def _asked(item: Item) -> int:
    return hash((item.context, item.question, item.history))


def _check_names(config: DatasetConfig, sifted: Collection[_Sifted]) -> None:
    types, books = set[str]().union(*(one.types for one in sifted)), set[str]().union(*(one.books for one in sifted))
    for key, wanted, known in (
        ("types", config.types, types),
        ("weights", list(getattr(config, "weights", {})), types),
        ("books", config.books, books),
    ):
        if unknown := [name for name in wanted if name not in known]:
            raise ConfigError(f"dataset.{key}={unknown[0]}: there is none in this dataset; it has {_list(known)}")


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _with_anchors(generated: _Sifted, anchors: _Sifted | None, config: DatasetConfig) -> list[Item]:
    share = config.anchor_share if isinstance(config, BuiltConfig) else 0.0
    by_hand = None if config.max_test is None else round(share * config.max_test)
    hand_written = list(anchors.take(by_hand)) if anchors and share else []
    if share == 1:
        return hand_written
    return [*hand_written, *generated.take(None if config.max_test is None else config.max_test - len(hand_written))]


def _check_apart(dataset: Dataset, train: _Sifted) -> None:
    seen = train.asked.union(map(_asked, dataset.val))
    both = [item for item in dataset.test if _asked(item) in seen]
    if both:
        raise ConfigError(
            f"dataset: {len(both)} test questions stand in train or val too, the first is {both[0].id}; "
            "a score on what the optimizer has seen is worth nothing"
        )
