"""The SWORD modules from Debian's packages, fetched without root."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from bibleqa.data.corpora.sword import find, how_to_get
from bibleqa.errors import ConfigError

PACKAGES = ("sword-text-kjv", "sword-dict-strongs-hebrew", "sword-dict-strongs-greek")
_SECONDS = 600


def fetch_sword(folder: Path) -> Path:
    """Puts the three modules into `folder`, and returns it; nothing is done when they are there.

    apt checks what it downloads by the signatures of the distribution. The folder appears complete or not at all.

    Args:
        folder: `sword.cache_folder()`, or any that is not there yet.

    Raises:
        ConfigError: There is no apt, it cannot find or download the packages, or something else is in the folder.
    """
    if _is_complete(folder):
        return folder
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise ConfigError(f"{tool} is not on this machine, so Debian's packages cannot be had. {how_to_get()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as temporary:
            _obtain(Path(temporary), folder)
    except OSError as error:
        # Another process may have been faster.
        if not _is_complete(folder):
            raise ConfigError(
                f"cannot write {folder}: {error.strerror}; if the folder is there without the modules, remove it"
            ) from None
    return folder


def _obtain(temporary: Path, folder: Path) -> None:
    _run(["apt-get", "download", *PACKAGES], temporary, "run `apt-get update` first if its package lists are missing")
    for package in sorted(temporary.glob("*.deb")):
        _run(["dpkg-deb", "-x", package.name, "unpacked"], temporary, "the package is damaged; try again")
    find(temporary / "unpacked" / "usr" / "share" / "sword").rename(folder)


def _is_complete(folder: Path) -> bool:
    try:
        find(folder)
    except ConfigError:
        return False
    return True


def _run(command: list[str], cwd: Path, hint: str) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace", timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{command[0]} did not finish within {_SECONDS} s; is the network there?") from None
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith("E: ")] or done.stderr.splitlines()
        raise ConfigError(f"{' '.join(command)}: {'; '.join(said) or f'exit {done.returncode}'} ({hint})")
