"""Where the project's own files are."""

import os
from pathlib import Path


def project() -> Path:
    """The project folder: the one with conf/ and run.py, or where BIBLEQA_PROJECT says outputs shall go."""
    return Path(os.environ.get("BIBLEQA_PROJECT") or Path(__file__).parent.parent).resolve()


def short(path: Path) -> str:
    """A path as a person in the project's folder would write it."""
    root = project()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def conf() -> Path:
    """The folder of the YAML groups."""
    return Path(__file__).parent.parent / "conf"
