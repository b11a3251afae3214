"""The commands that README and docs tell people to type."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from project import HOME

PAGES = [HOME / "README.md", *sorted((HOME / "docs").rglob("*.md"))]
_LANGUAGES = {
    "sh": True,
    "powershell": True,
    "python": False,
    "yaml": False,
    "json": False,
    "text": False,
    "toml": False,
}
"""Of code blocks: whether each line is a command."""
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)
_NO_COMMANDS = ("{", "config ──►")
"""What an indented block begins with that is data or a drawing."""
_INLINE = re.compile(r"(?<!`)`((?:PYTHONPATH=\S+ )?(?:python|bibleqa|make) [^`]+)`(?!`)")


@dataclass(frozen=True)
class Command:
    """A line to type, and where it stands."""

    page: str
    line: str

    @property
    def words(self) -> list[str]:
        """As a shell takes it apart, without variables that are set for it."""
        words = shlex.split(self.line, comments=True)
        return words[sum(1 for _ in self._set(words)) :]

    @property
    def variables(self) -> dict[str, str]:
        """That are set for it."""
        return dict(word.split("=", 1) for word in self._set(shlex.split(self.line, comments=True)))

    @staticmethod
    def _set(words: list[str]) -> Iterator[str]:
        for word in words:
            if not re.match(r"[A-Z_]+=", word):
                return
            yield word


def commands() -> list[Command]:
    """All of them, each once a page."""
    return list(dict.fromkeys(one for page in PAGES for one in _in(page)))


def _in(page: Path) -> Iterator[Command]:
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(HOME).as_posix()
    for language, block in _FENCED.findall(text):
        if _LANGUAGES[language]:
            yield from (Command(name, line.strip()) for line in block.splitlines() if line.strip())
    prose = _FENCED.sub("", text)
    if page.name == "README.md":
        for block in _INDENTED.findall(prose):
            if not block.strip().startswith(_NO_COMMANDS):
                yield from (Command(name, part.strip()) for line in block.splitlines() for part in _parts(line))
        prose = _INDENTED.sub("", prose)
    for inline in _INLINE.findall(prose):
        yield Command(name, " ".join(inline.split()))


def _parts(line: str) -> list[str]:
    """The commands of a line, which may have several and end with a comment."""
    return [part for part in re.sub(r"\s+# .*", "", line).split("; ") if part.strip()]
