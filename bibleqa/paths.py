"""Where the project's own files are."""

import os
from pathlib import Path


def project() -> Path:
    """The project folder: the one with conf/ and run.py, or where BIBLEQA_PROJECT says outputs shall go."""
    return Path(os.environ.get("BIBLEQA_PROJECT") or Path(__file__).parent.parent).resolve()


def conf() -> Path:
    """The folder of the YAML groups."""
    return Path(__file__).parent.parent / "conf"
