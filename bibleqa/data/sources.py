"""Which sources of the corpus are at hand, and the store that holds them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from bibleqa import paths
from bibleqa.data import store
from bibleqa.data.corpora import (
    english,
    stepbible,
    stepbible_lexicon,
    strongs_dictionary,
    sword,
    tagnt,
    tahot,
    tipnr,
    tvtms,
)
from bibleqa.data.corpora.records import Reading
from bibleqa.data.store import Record, Report, Source
from bibleqa.errors import ConfigError
from bibleqa.schema import CorpusConfig


def store_path() -> Path:
    """Where the corpus store is."""
    return paths.project() / "data" / "corpus.sqlite"


def ensure_store(corpus: CorpusConfig, tell: Callable[[Report], None] = lambda report: None) -> Path:
    """The store with all that is at hand in it, as it is now; built where it is missing or out of date.

    Args:
        corpus: Where the sources are.
        tell: Called with each source as it is in.

    Raises:
        ConfigError: A folder that was named is not there, or a source has too many unreadable rows; the old store
            stays as it was.
    """
    path = store_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        corpus = _with_remembered_folders(corpus, path)
        at_hand = list(available(corpus))
        if not store.is_current(path, at_hand):
            settings = {key: folder for key in _FOLDERS if (folder := getattr(corpus, key))}
            for report in store.build(path, at_hand, corpus.max_rejects, settings):
                tell(report)
    return path


_FOLDERS = ("sword_path", "stepbible_path")


def _with_remembered_folders(corpus: CorpusConfig, path: Path) -> CorpusConfig:
    """Folders that are not named now are those the store was built from, while they are there.

    Else a command without the folder would build the store without what is in it.
    """
    known = {key: getattr(corpus, key) or store.remembered(path, key) for key in _FOLDERS}
    there: dict[str, Any] = {key: str(Path(f).absolute()) for key, f in known.items() if f and Path(f).is_dir()}
    return replace(corpus, **there)


def available(corpus: CorpusConfig) -> Iterator[Source]:
    """Every source that is at hand, each file on its own.

    Raises:
        ConfigError: A folder that the config names is not there or holds nothing of the kind.
    """
    for translation in english.PACKAGES:
        read = partial(_counted, english.verses(translation))
        yield Source(f"english/{translation}", english.digest(translation), read, Path(english.PACKAGES[translation]))
    if folder := _sword_folder(corpus):
        digest = sword.digest(folder)
        yield Source("sword/kjv", digest, partial(sword.words, folder), folder)
        yield Source("sword/strongs-hebrew", digest, partial(strongs_dictionary.entries, folder, "hebrew"), folder)
        yield Source("sword/strongs-greek", digest, partial(strongs_dictionary.entries, folder, "greek"), folder)
    if corpus.stepbible_path:
        files = stepbible.find(Path(corpus.stepbible_path))
        for kind, read_file in _STEPBIBLE.items():
            for file in files[kind]:
                yield Source(f"stepbible/{kind}/{file.stem}", stepbible.digest([file]), partial(read_file, file), file)
        if not files["tvtms"]:  # then what the Hebrew text says of its own numbering
            for file in files["tahot"]:
                digest = stepbible.digest([file])
                yield Source(f"stepbible/numbering/{file.stem}", digest, partial(tahot.numbering, file), file)


_STEPBIBLE: dict[str, Callable[[Path, Reading], Iterable[Record]]] = {
    "tahot": tahot.words,
    "tagnt": tagnt.words,
    "tbesh": stepbible_lexicon.entries,
    "tbesg": stepbible_lexicon.entries,
    "tvtms": tvtms.mappings,
    "tipnr": tipnr.names,
}


def _counted(records: Iterable[Record], reading: Reading) -> Iterator[Record]:
    """Records of a source that has no rows which could be unreadable."""
    for record in records:
        reading.rows += 1
        yield record


def _sword_folder(corpus: CorpusConfig) -> Path | None:
    """The folder that the config names, else the first usual place that has the modules, else None."""
    if corpus.sword_path:
        return sword.find(Path(corpus.sword_path))
    try:
        return sword.find(None)
    except ConfigError:
        return None  # nobody asked for it; a dataset that needs it says what to do
