"""Every option of every group of conf/."""

from bibleqa import paths, schema

OPTIONS = sorted((path.parent.name, path.stem) for group in schema.GROUPS for path in (paths.conf() / group).iterdir())

OWN_FILES = ["dataset.train=a.jsonl", "dataset.val=b.jsonl", "dataset.test=c.jsonl"]
_NEEDED = {"jsonl": OWN_FILES, "translation_questions": ["dataset.folder=downloads"]}


def choosing(group: str, option: str) -> list[str]:
    """The overrides that choose an option, with what it needs."""
    return [f"{group}={option}", *_NEEDED.get(option, [])]
