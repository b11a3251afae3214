"""Building a dataset from the text and the corpus store: once, deterministically, in seconds."""

import hashlib
import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from filelock import FileLock

from bibleqa import provenance, runs
from bibleqa.config import plugins
from bibleqa.data import contexts
from bibleqa.data.card import CARD, card
from bibleqa.data.corpora import english
from bibleqa.data.corpus import Corpus
from bibleqa.data.datasets import RECIPES, Recipe
from bibleqa.data.item import Item
from bibleqa.data.kjv import Bible, context_of, kjv
from bibleqa.data.questions.craft import bucket
from bibleqa.data.reader import numbered_items
from bibleqa.data.splits import Splits, chapter_groups, shingles_of, split_items
from bibleqa.errors import ConfigError
from bibleqa.schema import CorpusConfig
from bibleqa.text import contains

ANCHORS = Path(__file__).resolve().parents[2] / "data" / "anchors" / "anchors.jsonl"
BUILD_VERSION = 4
"""Goes up with every change that changes what is built, so that datasets on disk are built again."""

MISSING = {
    "sword": "bibleqa data fetch sword, or corpus.sword_path=<folder>, then bibleqa data build",
    "stepbible": "bibleqa data build corpus.stepbible_path=<your STEPBible-Data folder>",
    "english": "bibleqa data build",
}
"""What to do where a source is not in the store."""

_SEED = 7
# All of `[Genesis 5:6]`, but of `[Genesis 5:6, WEB]` only the reference.
_LABELS = re.compile(r"^\[[^\[\]]+?(?=(?:, [A-Z]+)?\])", re.MULTILINE)
_MANIFEST = "manifest.json"


def ensure_built(
    folder: Path,
    name: str = "kjv",
    context: str = "verse",
    store: Path | None = None,
    anchors: Path = ANCHORS,
    recipe: Recipe | None = None,
) -> Path:
    """The folder of a built dataset: train.jsonl, val.jsonl, test.jsonl, anchors.jsonl and manifest.json.

    It is built where it is missing, or where what it is made from has changed; until the new one is complete the
    old one stays as it is.

    Args:
        folder: Where datasets live (`data/processed`); the dataset is a subfolder.
        name: A name of `RECIPES`, or several joined by `+`, which are then split together: a chapter that one has
            in train is in train for all.
        context: How much context its questions get, see `contexts.widen`.
        store: The corpus store, for a dataset that needs it.
        anchors: The hand-written questions.
        recipe: What to build under that name, where it is not in `RECIPES`.

    Raises:
        ConfigError: The store is missing or lacks a source, the anchors are malformed (file and line are named),
            or the folder cannot be written.
    """
    recipe = recipe or recipe_of(name.split("+"))
    corpus = _corpus(name, recipe, context, store)
    target = folder / (name if context == "verse" else f"{name}-{context}")
    made_from = {
        "build_version": BUILD_VERSION,
        "kjv": english.digest("KJV"),
        "anchors": _digest(anchors),
        **recipe.digests,
        **_used(corpus, recipe, context),
    }
    if _sources_of(target) == made_from:
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{target.name}.lock"):
            if _sources_of(target) != made_from:
                for left_by_an_interrupted_build in folder.glob(f".{target.name}.draft-*"):
                    shutil.rmtree(left_by_an_interrupted_build)
                _build(target, made_from, anchors, recipe, corpus, context)
    except OSError as error:
        raise ConfigError(f"cannot write the dataset to {target}: {error.strerror or error}") from error
    return target


def ensure_translation_questions(folder: Path, downloads: Path) -> Path:
    """The folder of the dataset built from unfoldingWord's translation questions, as `ensure_built`.

    Raises:
        ConfigError: The download is missing or malformed; file and line are named.
    """
    from bibleqa.data import translation_questions

    recipe = Recipe(
        text=(translation_questions.Questions(downloads),),
        digests={"translation_questions": translation_questions.digest(downloads)},
    )
    return ensure_built(folder, "translation_questions", recipe=recipe)


def store_for(names: Sequence[str], context: str, corpus: CorpusConfig) -> Path | None:
    """The corpus store, brought up to date, where these datasets need one."""
    if not any(RECIPES[name].sources for name in names) and not contexts.SOURCES[context]:
        return None
    from bibleqa.data import sources  # with the readers of every format, which the plain text does not need

    return sources.ensure_store(corpus)


def recipe_of(names: Sequence[str], own: Sequence[str] = ()) -> Recipe:
    """What datasets of `RECIPES` are built from together, with question families of the user's own.

    Args:
        names: Of the datasets.
        own: Modules that the command line allows, each a `TextFamily`.

    Raises:
        ConfigError: A module cannot be imported, or makes no questions.
    """
    recipes = [RECIPES[name] for name in names]
    families = [plugins.module(name) for name in own]
    for family in families:
        if not callable(getattr(family, "questions", None)):
            raise ConfigError(f"dataset.families={family.__name__}: it has no function questions(bible)")
    return Recipe(
        text=tuple(dict.fromkeys([*(family for recipe in recipes for family in recipe.text), *families])),
        corpus=tuple(dict.fromkeys(family for recipe in recipes for family in recipe.corpus)),
        sources=tuple(dict.fromkeys(source for recipe in recipes for source in recipe.sources)),
        digests={f"plugins/{name}": provenance.source_digest(name) for name in own},
    )


def _corpus(name: str, recipe: Recipe, context: str, store: Path | None) -> Corpus | None:
    wanted = (*recipe.sources, *contexts.SOURCES[context])
    if not wanted:
        return None
    assert store is not None
    corpus = Corpus(store)
    for prefix in wanted:
        if not any(source.startswith(prefix) for source in corpus.sources):
            raise ConfigError(f"dataset={name}: the corpus lacks {prefix}…; {MISSING[prefix.partition('/')[0]]}")
    return corpus


def _used(corpus: Corpus | None, recipe: Recipe, context: str) -> dict[str, str]:
    """The sources of the store that the dataset depends on, with their digests."""
    if corpus is None:
        return {}
    wanted = (*recipe.sources, *contexts.SOURCES[context])
    return {name: digest for name, digest in corpus.sources.items() if name.startswith(wanted)}


def anchors_of(path: Path, bible: Bible) -> list[Item]:
    """The hand-written questions, those that are open-book with the text of their reference as context.

    Raises:
        ConfigError: A line is malformed, its reference does not exist, or its answer does not stand in its
            passage; file and line are named.
    """
    items = []
    for number, item in numbered_items(path):
        try:
            items.append(_anchor(item, bible))
        except ConfigError as error:
            raise ConfigError(f"{path}:{number}: {error}") from None
    return items


def answer_stands(item: Item) -> bool:
    """Whether the answer, or an accepted variant, can be read from context and history.

    The labels of the verses do not count: the `5` of `[Genesis 5:6]` answers nothing.
    """
    text = _LABELS.sub("", item.context)
    given = "\n".join([text, *(text for turn in item.history for text in (turn.question, turn.answer))])
    return any(contains(given, answer) for answer in item.accepted)


def _anchor(item: Item, bible: Bible) -> Item:
    if not item.id.startswith("anchor:"):
        raise ConfigError('the id of a hand-written question starts with "anchor:"')
    passage = bible.passage(item.reference)
    if not item.open_book:
        return item
    if not item.context:
        item = replace(item, context=context_of(passage))
    if not answer_stands(item):
        raise ConfigError(f'neither the answer "{item.answer}" nor a variant stands in {item.reference}')
    return item


def _build(
    target: Path, made_from: dict[str, Any], anchors: Path, recipe: Recipe, corpus: Corpus | None, context: str
) -> None:
    bible = kjv()
    hand_written = [contexts.widen(item, context, bible, corpus) for item in anchors_of(anchors, bible)]
    items = [contexts.widen(item, context, bible, corpus) for item in _generated(recipe, bible, corpus)]
    verses = {item.id: _verses_of(item, bible) for item in items}
    groups = chapter_groups({c: [v.text for v in vs] for c, vs in bible.chapters.items()})
    tested = {verse.chapter_id for anchor in hand_written for verse in bible.passage(anchor.reference)}
    told = {shingle for anchor in hand_written for shingle in shingles_of(anchor)}

    def group_of(item: Item) -> str:
        """Its chapters' group; what is about a word and no verse goes by the word's part of the dictionary."""
        return str(groups[min(verses[item.id]) // 1000]) if verses[item.id] else bucket(item.strongs_id)

    def near_an_anchor(item: Item) -> bool:
        return bool({verse // 1000 for verse in verses[item.id]} & tested or shingles_of(item) & told)

    _write(target, made_from, split_items(items, group_of, _SEED, near_an_anchor), hand_written)


def _verses_of(item: Item, bible: Bible) -> set[int]:
    """The verses that an item is about: those its context cites, else the one it refers to, else none."""
    found = bible.cited(item.context) or (bible.passage(item.reference) if item.reference else [])
    return {verse.id for verse in found}


def _generated(recipe: Recipe, bible: Bible, corpus: Corpus | None) -> Iterator[Item]:
    made = [family.questions(bible) for family in recipe.text]
    if recipe.corpus:
        assert corpus is not None
        made += [family.questions(corpus) for family in recipe.corpus]
    for item in chain.from_iterable(made):
        if item.open_book and not answer_stands(item):
            raise ConfigError(f"{item.id}: the answer {item.answer!r} does not follow from the context")
        yield item


def _write(target: Path, made_from: dict[str, Any], splits: Splits, anchors: list[Item]) -> None:
    """Write into a temporary sibling and put it in the place of the old dataset."""
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.draft-", dir=target.parent))
    try:
        files = {}
        for name, items in {**splits.items, "anchors": anchors}.items():
            content = "".join(item.to_json() + "\n" for item in items).encode()
            (fresh / f"{name}.jsonl").write_bytes(content)
            files[f"{name}.jsonl"] = hashlib.sha256(content).hexdigest()
        manifest = {
            "sources": made_from,
            "seed": _SEED,
            "counts": {
                name: dict(sorted(Counter(item.type for item in items).items()))
                for name, items in {**splits.items, "anchors": anchors}.items()
            },
            "dropped": splits.dropped,
            "sha256": files,
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        (fresh / _MANIFEST).write_text(text, encoding="utf-8", newline="\n")
        about = card(target.name, manifest, {**splits.items, "anchors": anchors})
        (fresh / CARD).write_text(about, encoding="utf-8", newline="\n")
        fresh.chmod(0o755)
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}.draft-", dir=target.parent))
            target.rename(old / target.name)
            runs.put_in_place(fresh, target)
            shutil.rmtree(old)
        else:
            runs.put_in_place(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _sources_of(target: Path) -> object:
    """What the dataset on disk was built from; None if there is no complete one."""
    try:
        manifest = json.loads((target / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    complete = isinstance(manifest, dict) and all((target / name).is_file() for name in manifest.get("sha256", ()))
    return manifest.get("sources") if complete else None


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"cannot read the hand-written questions in {path}: {error.strerror}") from None
