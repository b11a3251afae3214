"""STEPBible's files for the tests: the samples beside the repository where they are, else a few rows kept here.

The rows are from STEPBible.org, CC BY 4.0 (https://github.com/STEPBible/STEPBible-Data), based on work at Tyndale
House Cambridge.
"""

import os
import re
from pathlib import Path

_BESIDE = Path(__file__).parents[1].parent / "shared" / "stepbible"
FOLDER = Path(os.environ.get("BIBLEQA_STEPBIBLE_SAMPLES") or _BESIDE)


def tabbed(row: str) -> str:
    """The row with a tab for each ` |`."""
    return re.sub(r" \|(?= |$)", "\t", row)


def write(path: Path, *rows: str, end: str = "\n", bom: bool = False) -> Path:
    """A file of these rows, `tabbed`."""
    text = "".join(tabbed(row) + end for row in rows)
    path.write_bytes(text.encode("utf-8-sig" if bom else "utf-8"))
    return path


def sample(name: str, instead: Path) -> tuple[Path, bool]:
    """The sample of that name, and whether it is there; without it `instead`."""
    path = FOLDER / name
    return (path, True) if path.is_file() else (instead, False)
