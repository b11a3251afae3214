"""Every option of every group of conf/."""

from bibleqa import paths, schema

OPTIONS = sorted((path.parent.name, path.stem) for group in schema.GROUPS for path in (paths.conf() / group).iterdir())

OWN_FILES = ["dataset.train=a.jsonl", "dataset.val=b.jsonl", "dataset.test=c.jsonl"]
_NEEDED = {"jsonl": OWN_FILES, "translation_questions": ["dataset.folder=downloads"]}
GRADED = ("token_f1", "judge", "weighted")
_THRESHOLDS = {
    **dict.fromkeys(("bootstrap", "bootstrap_random_search", "mipro", "infer_rules"), "optimizer.metric_threshold=0.8"),
    "ensemble": "+optimizer.of.metric_threshold=0.8",
    "better_together": "+optimizer.steps.p.metric_threshold=0.8",
}


def choosing(group: str, option: str) -> list[str]:
    """The overrides that choose an option, with what it needs beside the defaults."""
    needed = _NEEDED.get(option, [])
    if group == "metric" and option in GRADED:
        needed = [_THRESHOLDS["bootstrap"]]
    return [f"{group}={option}", *needed]


def choosing_all(options: dict[str, str]) -> list[str]:
    """The overrides that choose an option of each group, with what they need together."""
    chosen = [override for group, option in options.items() for override in choosing(group, option)]
    threshold = _THRESHOLDS.get(options["optimizer"])
    wanted = [threshold] if threshold and options["metric"] in GRADED else []
    return [override for override in chosen if override != _THRESHOLDS["bootstrap"]] + wanted
