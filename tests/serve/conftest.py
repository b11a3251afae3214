"""A corpus store with the words of the King James Version and Strong's dictionaries."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_store(sword_store: Path) -> Path:
    return sword_store
