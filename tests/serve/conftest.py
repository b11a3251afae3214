"""A corpus store with the words of the King James Version and Strong's dictionaries."""

from pathlib import Path

import pytest

from bibleqa.data import store
from bibleqa.data.sources import available
from bibleqa.schema import CorpusConfig


@pytest.fixture(scope="session")
def small_store(sword_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = CorpusConfig(sword_path=str(sword_folder))
    path = tmp_path_factory.mktemp("serve") / "corpus.sqlite"
    list(store.build(path, available(config), config.max_rejects))
    return path
