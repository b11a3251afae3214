"""What tests of all parts share."""

import gc
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import quick_composing
from filelock import FileLock
from hypothesis import HealthCheck, settings

from bibleqa.data import store
from bibleqa.data.build import ensure_built
from bibleqa.data.corpora import sword
from bibleqa.data.corpora.debian import fetch_sword
from bibleqa.data.sources import available
from bibleqa.errors import ConfigError
from bibleqa.retrieval import fts
from bibleqa.retrieval.fts import FullText
from bibleqa.schema import CorpusConfig

# Machines differ in speed, and a project folder that many examples share does no harm.
settings.register_profile("bibleqa", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("bibleqa")

# What is imported is never garbage: to look through all of it again and again takes a tenth of the time.
gc.set_threshold(50_000, 20, 20)

quick_composing.install()

# Databases wait for the disk at each step, several times as long as what a test is about takes; memory does not.
MEMORY, ROOM = Path("/dev/shm"), 4e9
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

LONGEST = (
    "test_weights test_recipes test_finetune test_smoke test_sweeps test_lora test_embedded test_ray test_page "
    "test_experiment test_reproducing test_kills test_full_disk test_at_once test_export test_adapter test_secrets "
    "test_no_pickle test_document test_first_conversation test_faults test_config test_docs test_hostile "
    "test_artifacts test_promotion test_doctor test_optimizers"
).split()
"""The files that take longest, which are begun first: so no worker is left with one when the others have ended."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder; the settings of whoever runs the tests do not reach it."""
    monkeypatch.setenv("BIBLEQA_PROJECT", str(tmp_path))
    for name in ("LM_STUDIO_API_URL", "LM_STUDIO_CHAT_MODEL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def by_one_for_all(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], Path]], Path]:
    """Makes what takes its time in a folder that all workers share: the first who needs it makes it, others wait.

    What makes it is given the folder, leaves there what is made already, and says where it is.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def made(make: Callable[[Path], Path]) -> Path:
        with FileLock(folder / f"{make.__name__}.lock"):
            return make(folder)

    return made


@pytest.fixture(scope="session")
def sword_folder(by_one_for_all: Callable[[Callable[[Path], Path]], Path]) -> Path:
    """The three real modules: from Debian where apt is, else from the machine's own."""
    if not shutil.which("apt-get"):
        try:
            return sword.find(None)
        except ConfigError as error:
            pytest.skip(str(error))

    def modules(folder: Path) -> Path:
        try:
            return fetch_sword(folder / "sword")
        except ConfigError:
            if os.geteuid() != 0:
                raise
            # A fresh container comes without package lists.
            subprocess.run(["apt-get", "update"], check=True, capture_output=True)
            return fetch_sword(folder / "sword")

    return by_one_for_all(modules)


@pytest.fixture(scope="session")
def verse_index(by_one_for_all: Callable[[Callable[[Path], Path]], Path]) -> Path:
    """The full-text index of the verses; nobody writes there."""

    def full_text(folder: Path) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BIBLEQA_PROJECT", str(folder))
            path = fts._place()
            assert FullText().scores("the ark", 1)
        return path

    return by_one_for_all(full_text)


@pytest.fixture
def with_verse_index(verse_index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index of the verses is there already."""
    monkeypatch.setattr(fts, "_place", lambda: verse_index)


@pytest.fixture(scope="session")
def built(by_one_for_all: Callable[[Callable[[Path], Path]], Path]) -> Path:
    """The whole dataset of the text; nobody writes there."""

    def dataset(folder: Path) -> Path:
        return ensure_built(folder / "processed")

    return by_one_for_all(dataset)


@pytest.fixture(scope="session")
def sword_store(sword_folder: Path, by_one_for_all: Callable[[Callable[[Path], Path]], Path]) -> Path:
    """A store with all that needs no STEPBible; nobody writes there."""
    config = CorpusConfig(sword_path=str(sword_folder))

    def corpus(folder: Path) -> Path:
        path = folder / "corpus.sqlite"
        if not path.exists():
            list(store.build(path, available(config), config.max_rejects))
        return path

    return by_one_for_all(corpus)
