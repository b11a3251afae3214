"""Debian's Chromium: the machine's own, or its packages fetched without root."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_SECONDS = 900
_FONTS = """<fontconfig>
<dir>/usr/share/fonts</dir><dir>{root}/usr/share/fonts</dir><cachedir>{root}/cache</cachedir>
</fontconfig>"""


@dataclass(frozen=True)
class Chromium:
    """What starts it.

    Attributes:
        executable: The program.
        environment: What it needs beside the machine's own variables.
    """

    executable: Path
    environment: dict[str, str] = field(default_factory=dict)


def installed() -> Chromium | None:
    """The machine's own."""
    executable = shutil.which("chromium")
    return Chromium(Path(executable)) if executable else None


def fetch(folder: Path) -> Chromium:
    """Chromium, and what else this machine lacks for it, unpacked into `folder`."""
    root = folder / "root"
    _run(["apt-get", "download", *_lacking()], folder)
    for package in folder.glob("*.deb"):
        _run(["dpkg-deb", "-x", package.name, root.name], folder)
        package.unlink()
    (root / "fonts.conf").write_text(_FONTS.format(root=root))
    # Some packages keep libraries in folders that only they know.
    libraries = sorted({str(library.parent) for library in root.rglob("lib*.so*")})
    environment = {"LD_LIBRARY_PATH": ":".join(libraries), "FONTCONFIG_FILE": str(root / "fonts.conf")}
    return Chromium(root / "usr" / "lib" / "chromium" / "chromium", environment)


def _lacking() -> list[str]:
    """The packages that apt would install."""
    if not list(Path("/var/lib/apt/lists").glob("*_Packages*")) and os.geteuid() == 0:
        # A fresh container comes without package lists.
        _run(["apt-get", "update"], Path("/"))
    wanted = ["chromium", "fonts-dejavu-core"]
    plan = _run(["apt-get", "--simulate", "install", "--no-install-recommends", *wanted], Path("/"))
    return [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]


def _run(command: list[str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_SECONDS)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
