"""Which questions of a dataset a run takes."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bibleqa import paths, provenance
from bibleqa.data.item import Item
from bibleqa.data.reader import read_items
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
    pool: list[Item] = field(default_factory=list)
    """All questions that train is the beginning of: a weight step learns from more than a prompt can show."""

    @property
    def pool_digest(self) -> str:
        """sha256 of the pool, in its order."""
        return provenance.digest_lines(item.to_json() for item in self.pool)

    @property
    def splits(self) -> dict[str, list[Item]]:
        """The three by name, train first."""
        return {"train": self.train, "val": self.val, "test": self.test}

    @property
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
    pools = {split: list(read_items(path)) for split, path in files(config, corpus or CorpusConfig()).items()}
    _check_names(config, [item for items in pools.values() for item in items])
    pools = {split: _filtered(items, config) for split, items in pools.items()}
    pool = _take(pools["train"], None, config)
    dataset = Dataset(
        pool=pool,
        train=pool[: config.max_train],
        val=_take(pools["val"], config.max_val, config),
        test=_with_anchors(pools["test"], pools.get("anchors", []), config),
    )
    for split, items in dataset.splits.items():
        if not items:
            raise ConfigError(f"dataset: no {split} questions are left; loosen dataset.types, books or open_book")
    _check_apart(dataset)
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
    names = sorted(set(config.builds))
    if not names:
        raise ConfigError("dataset.builds=[]: at least one built dataset is needed, for instance [kjv]")
    folder = build.ensure_built(
        processed, "+".join(names), config.context, store=build.store_for(names, config.context, corpus)
    )
    return {split: folder / f"{split}.jsonl" for split in (*_SPLITS, "anchors")}


def book_of(reference: str) -> str:
    """The book of a reference as people write it: `1 Samuel` of `1 Samuel 17:4-7`."""
    return reference.rpartition(" ")[0] or reference


def _filtered(items: Iterable[Item], config: DatasetConfig) -> list[Item]:
    return [
        item
        for item in items
        if (config.open_book is None or item.open_book == config.open_book)
        and (not config.types or item.type in config.types)
        and (not config.books or book_of(item.reference) in config.books)
    ]


def _check_names(config: DatasetConfig, items: list[Item]) -> None:
    for key, wanted, known in (
        ("types", config.types, {item.type for item in items}),
        ("weights", list(getattr(config, "weights", {})), {item.type for item in items}),
        ("books", config.books, {book_of(item.reference) for item in items}),
    ):
        if unknown := [name for name in wanted if name not in known]:
            raise ConfigError(f"dataset.{key}={unknown[0]}: there is none in this dataset; it has {_list(known)}")


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _take(items: list[Item], most: int | None, config: DatasetConfig) -> list[Item]:
    """So many questions, the families in turn by their weights, in an order that depends on seed and ids alone."""
    weights = config.weights if isinstance(config, BuiltConfig) else {}
    shuffled = sorted(items, key=lambda item: hashlib.sha256(f"{config.seed} {item.id}".encode()).digest())
    seen: Counter[str] = Counter()
    by_turn: dict[float, list[Item]] = defaultdict(list)
    for item in shuffled:
        if weight := weights.get(item.type, 1.0):
            by_turn[seen[item.type] / weight].append(item)
            seen[item.type] += 1
    return [item for turn in sorted(by_turn) for item in by_turn[turn]][:most]


def _with_anchors(generated: list[Item], anchors: list[Item], config: DatasetConfig) -> list[Item]:
    share = config.anchor_share if isinstance(config, BuiltConfig) else 0.0
    if config.max_test is None:
        return [
            *(_take(anchors, None, config) if share else []),
            *(_take(generated, None, config) if share < 1 else []),
        ]
    hand_written = _take(anchors, round(share * config.max_test), config)
    rest = config.max_test - len(hand_written) if share < 1 else 0
    return [*hand_written, *_take(generated, rest, config)]


def _check_apart(dataset: Dataset) -> None:
    seen = {(item.context, item.question, item.history) for item in [*dataset.pool, *dataset.val]}
    both = [item for item in dataset.test if (item.context, item.question, item.history) in seen]
    if both:
        raise ConfigError(
            f"dataset: {len(both)} test questions stand in train or val too, the first is {both[0].id}; "
            "a score on what the optimizer has seen is worth nothing"
        )
