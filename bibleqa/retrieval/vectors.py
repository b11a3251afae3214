"""Search by meaning: the verses whose vectors lie nearest to that of a question."""

import hashlib
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from filelock import FileLock
from rich.progress import track

from bibleqa import paths, runs
from bibleqa.console import out
from bibleqa.data.kjv import kjv
from bibleqa.lm.embeddings import Embedder

_LEANING = 0.3
"""Share of each verse beside; chosen by benchmarks/retrieval_tuning.tsv and by generated questions of val."""
_BATCH = 256
"""Verses of a request, and of what an interrupted embedding loses at the most."""


class Meaning:
    """Verses by what they mean, as an embedder has it."""

    name = "embeddings"

    def __init__(self, questions: Embedder, verses: Embedder, known_by: str):
        """Make a search; nothing is embedded yet.

        Args:
            questions: Embeds what is asked.
            verses: Embeds the verses, once: their vectors are kept on disk.
            known_by: The model behind both, as no other one is called.
        """
        self._questions = questions
        self._embedder = verses
        self._known_by = known_by

    def scores(self, text: str, depth: int) -> dict[int, float]:
        """The ids of the best verses, and by how many standard deviations each is nearer than verses are on average.

        How far apart the likenesses lie is the model's own matter, and not to be compared between models as it is.

        Raises:
            LMError: The endpoint failed.
        """
        ids, vectors = self._verses
        likeness = vectors @ self._questions.embed([text])[0].astype(np.float32)
        nearer = (likeness - likeness.mean()) / (float(likeness.std()) or 1.0)
        best = np.argsort(-nearer, kind="stable")[:depth]
        return dict(zip(ids[best].tolist(), nearer[best].tolist(), strict=True))

    @cached_property
    def _verses(self) -> tuple[np.ndarray, np.ndarray]:
        verses = kjv().verses
        vectors = vectors_of([verse.text for verse in verses], self._embedder, self._known_by)
        ids = np.array([verse.id for verse in verses])
        return ids, with_neighbours(vectors.astype(np.float32), ids // 1000)

    def __deepcopy__(self, memo: object) -> "Meaning":
        return self


def with_neighbours(vectors: np.ndarray, chapters: np.ndarray) -> np.ndarray:
    """Vectors of length 1 that lean to those of the verses beside them: few questions are about one verse alone.

    Args:
        vectors: (verses, dimensions).
        chapters: (verses,) the chapter of each; verses of two chapters are not beside each other.
    """
    leaning = vectors.copy()
    beside = (chapters[1:] == chapters[:-1])[:, None]
    leaning[1:] += _LEANING * vectors[:-1] * beside
    leaning[:-1] += _LEANING * vectors[1:] * beside
    lengths = np.linalg.norm(leaning, axis=1, keepdims=True)
    return np.asarray(leaning / np.where(lengths, lengths, 1.0))


def vectors_of(texts: Sequence[str], embedder: Embedder, known_by: str) -> np.ndarray:
    """The vectors of texts, (texts, dimensions), made once and kept; where that was interrupted it goes on.

    Args:
        texts: In their order.
        embedder: What makes them.
        known_by: The model, as no other one is called.

    Raises:
        LMError: The endpoint failed; the vectors it gave are kept.
    """
    digest = hashlib.sha256("\n".join([known_by, *texts]).encode()).hexdigest()[:16]
    path = paths.project() / "data" / "retrieval" / f"vectors-{digest}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _make(path, texts, embedder, known_by)
    return np.asarray(np.load(path, allow_pickle=False))


def _make(path: Path, texts: Sequence[str], embedder: Embedder, known_by: str) -> None:
    parts = path.with_suffix(".parts")
    parts.mkdir(exist_ok=True)
    places = []
    starts = range(0, len(texts), _BATCH)
    for start in track(starts, f"embedding {len(texts):,} verses with {known_by}", console=out):
        place = parts / f"{start:06}.npy"
        if not place.exists():
            _save(place, embedder.embed(list(texts[start : start + _BATCH])).astype(np.float16))
        places.append(place)
    _save(path, np.concatenate([np.load(place, allow_pickle=False) for place in places]))
    shutil.rmtree(parts)


def _save(path: Path, vectors: np.ndarray) -> None:
    with runs.replacing(path) as draft, draft.open("wb") as file:
        np.save(file, vectors)
