"""Which combination did best, how sure that is, what it cost, and what each option is worth."""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bibleqa import paths, runs, schema
from bibleqa.comparison import Contribution, Difference, contributions, difference, holm, pareto
from bibleqa.errors import ConfigError
from bibleqa.results import past
from bibleqa.results.figures import short
from bibleqa.results.past import PastRun

SWEEP = "sweep.json"
SCHEMA = 1
"""Version of sweep.json."""
LIKELY_CHANCE = 0.05
"""From this p-value on, a difference is not told from chance."""


@dataclass(frozen=True)
class Entry:
    """A run in its table."""

    run: PastRun
    rank: int
    settings: Mapping[str, str]
    """What is not the same in all runs of the table, or jobs of the sweep."""
    to_best: Difference | None
    """Its score less that of the best run; None for that one."""
    p: float | None
    """That difference's p-value, corrected for the number of runs (Holm)."""
    pareto: bool
    """No other run scored more for no more cost, or as much for less."""

    @property
    def combination(self) -> str:
        """What tells it from the others."""
        settings = self.settings or {"optimizer": self.run.config["optimizer"]["name"]}
        return " ".join(f"{key}={short(value)}" for key, value in settings.items())

    @property
    def differs(self) -> bool:
        """Whether it is told from the best run."""
        return self.p is not None and self.p < LIKELY_CHANCE

    def to_dict(self) -> dict[str, Any]:
        """As plain data; scores are fractions."""
        run, optimized = self.run, self.run.summary["optimized"]
        return {
            "rank": self.rank,
            "combination": self.combination,
            "settings": dict(self.settings),
            "fingerprint": run.fingerprint,
            "folder": run.place,
            **{key: optimized[key] for key in ("score", "ci95", "n", "errors", "unreadable")},
            "baseline": run.summary["baseline"]["score"],
            "improvement": run.summary["improvement"],
            "to_best": dataclasses.asdict(self.to_best) | {"p_holm": self.p} if self.to_best else None,
            "lm_calls": run.calls,
            "tokens": run.tokens,
            "knows_all_tokens": run.knows_all_tokens,
            "seconds": run.seconds,
            "pareto": self.pareto,
        }


@dataclass(frozen=True)
class Standing:
    """Runs that were asked the same questions and scored by the same metric, the best first."""

    name: str
    shared: Mapping[str, str]
    """What sets the table apart: dataset, its digest, metric, and what the user split by."""
    entries: Sequence[Entry]
    contributions: Sequence[Contribution]
    cost: str
    """What the costs are counted in: `tokens`, or `LM calls` where the tokens of cached calls are not known."""

    @property
    def best(self) -> Entry:
        """The first one."""
        return self.entries[0]

    def cost_of(self, run: PastRun) -> int:
        """What a run cost."""
        return run.tokens if self.cost == "tokens" else run.calls


@dataclass(frozen=True)
class Leaderboard:
    """The tables, the one with the most runs first."""

    standings: Sequence[Standing]
    jobs: int | None = None
    """Jobs of the sweep, where it is one's."""
    unfinished: Sequence[str] = ()
    """The overrides of those that have no result."""
    sweep: Path | None = None

    @property
    def missing(self) -> str | None:
        """What is said of jobs without a result."""
        if not self.unfinished:
            return None
        return f"{len(self.unfinished)} of {self.jobs} jobs have no result: {'; '.join(self.unfinished)}"

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "schema": SCHEMA,
            "tables": [
                {
                    **standing.shared,
                    "cost": standing.cost,
                    "runs": [entry.to_dict() for entry in standing.entries],
                    "contributions": [dataclasses.asdict(one) for one in standing.contributions],
                }
                for standing in self.standings
            ],
            "jobs": self.jobs,
            "unfinished": list(self.unfinished),
        }


def of_project(by: Sequence[str] = ()) -> Leaderboard:
    """The leaderboard of all finished runs of the project.

    Raises:
        ConfigError: No run has a key of `by`, or a run folder is damaged.
    """
    return build([PastRun(folder.path) for folder in runs.finished()], by)


def of_sweep(folder: Path, by: Sequence[str] = ()) -> Leaderboard:
    """The leaderboard of a sweep; jobs without a finished run are named in it.

    Raises:
        ConfigError: It is no sweep's folder; likewise.
    """
    jobs = _jobs(folder)
    common = set.intersection(*(set(job["overrides"]) for job in jobs)) if len(jobs) > 1 else set()
    found: dict[str, tuple[PastRun, dict[str, str]]] = {}
    unfinished = []
    for job in jobs:
        own = [override for override in job["overrides"] if override not in common]
        run = runs.find_finished(job["fingerprint"]) if job.get("fingerprint") else None
        if run is None:
            unfinished.append(" ".join(own) or "the only one")
            continue
        setting = {key: value for key, _, value in (override.partition("=") for override in own)}
        found.setdefault(job["fingerprint"], (PastRun(run.path), setting))
    past_runs, settings = [run for run, _ in found.values()], [own for _, own in found.values()]
    board = build(past_runs, by, settings if any(settings) else None)
    return dataclasses.replace(board, jobs=len(jobs), unfinished=unfinished, sweep=folder)


def latest_sweep() -> Path:
    """The folder of the project's latest sweep.

    Raises:
        ConfigError: There is none.
    """
    found = sorted(file.parent for file in (paths.project() / "outputs" / "multirun").glob(f"*/*/{SWEEP}"))
    if not found:
        raise ConfigError("--sweep latest: there is no sweep yet; python run.py -m optimizer=none,bootstrap makes one")
    return found[-1]


def _jobs(folder: Path) -> list[dict[str, Any]]:
    try:
        sweep = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
        version, jobs = sweep["schema"], sweep["jobs"]
        if version > SCHEMA:
            raise ConfigError(f"{folder}: written by a newer version (sweep schema {version}); update bibleqa")
        return [{**job, "overrides": [str(override) for override in job["overrides"]]} for job in jobs]
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"{folder}: not the folder of a sweep, it has no {SWEEP}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / SWEEP} cannot be read: {error!r}") from None


def build(
    past_runs: Sequence[PastRun], by: Sequence[str] = (), settings: Sequence[Mapping[str, str]] | None = None
) -> Leaderboard:
    """The leaderboard of some runs: a table for each set of questions and metric.

    Args:
        past_runs: What is compared, all of them finished.
        by: Groups and dotted keys of the config that split the tables further.
        settings: Of each run, what it was made to be, by group or key; by default what differs in the configs.

    Raises:
        ConfigError: No run has a key of `by`.
    """
    for key in by:
        if past_runs and not any(_option(run.config, key) for run in past_runs):
            raise ConfigError(f"--by {key}: no run has that in its config; a group or a dotted key, as optimizer.seed")
    tables: dict[str, list[int]] = defaultdict(list)
    shared: dict[str, dict[str, str]] = {}
    metrics = differing([{"metric": run.config["metric"]} for run in past_runs])
    for index, run in enumerate(past_runs):
        what = {
            "dataset": run.config["dataset"]["name"],
            "dataset_digest": run.summary["dataset_digest"],
            "metric": run.config["metric"]["name"],
            **{key: value for key, value in metrics[index].items() if key != "metric"},
            **{key: _option(run.config, key) or "" for key in by},
        }
        same = json.dumps([what, run.config["metric"]], sort_keys=True)
        tables[same].append(index)
        shared[same] = what
    standings = [
        _standing(
            shared[same],
            [past_runs[index] for index in indices],
            [settings[index] for index in indices] if settings else None,
        )
        for same, indices in tables.items()
    ]
    return Leaderboard(sorted(standings, key=lambda standing: (-len(standing.entries), standing.name)))


def _standing(
    shared: Mapping[str, str], past_runs: list[PastRun], settings: Sequence[Mapping[str, str]] | None
) -> Standing:
    settings = settings or differing([run.config for run in past_runs])
    cost = "tokens" if all(run.knows_all_tokens for run in past_runs) else "LM calls"
    costs = [run.tokens if cost == "tokens" else run.calls for run in past_runs]
    values = [run.score or 0.0 for run in past_runs]
    order = sorted(range(len(past_runs)), key=lambda i: (-values[i], costs[i], past_runs[i].fingerprint))
    ranks: dict[float, int] = {}
    for place, index in enumerate(order, 1):
        ranks.setdefault(values[index], place)
    best = past_runs[order[0]]
    to_best = [difference(past_runs[index].scores, best.scores) for index in order[1:]]
    corrected = holm([1.0 if one.p is None else one.p for one in to_best])
    front = pareto(list(zip(values, costs, strict=True)))
    entries = [
        Entry(
            past_runs[index],
            ranks[values[index]],
            settings[index],
            to_best[place - 1] if place else None,
            corrected[place - 1] if place else None,
            front[index],
        )
        for place, index in enumerate(order)
    ]
    n = best.summary["optimized"]["n"]
    others = "".join(f", {key}={short(v)}" for key, v in shared.items() if key not in ("dataset", "dataset_digest"))
    name = f"dataset={shared['dataset']} ({n} question{'s' * (n != 1)}, {shared['dataset_digest'][:8]}){others}"
    effects = contributions([entry.settings for entry in entries], [entry.run.scores for entry in entries])
    return Standing(name, shared, entries, effects, cost)


def _option(config: Mapping[str, Any], key: str) -> str | None:
    """What a config has for a group or a dotted key; None where it has no such key."""
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return past.written(node.get("name", node) if isinstance(node, Mapping) else node)


def differing(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Of each config, what is not the same in all, of what can change a result.

    A group is told by its option; of a group's keys, those that differ between configs of the same option.
    """
    found: list[dict[str, str]] = [{} for _ in configs]
    for group in dict.fromkeys(key for config in configs for key in config if key in _TELLING):
        options = [_option(config, group) or "null" for config in configs]
        if len(set(options)) > 1:
            for own, option in zip(found, options, strict=True):
                own[group] = option
        for option in dict.fromkeys(options):
            same = [index for index, one in enumerate(options) if one == option]
            flats = [past.flat(configs[index].get(group), f"{group}.") for index in same]
            for key in dict.fromkeys(key for one in flats for key in one):
                if key not in _IDLE and len({one.get(key) for one in flats}) > 1:
                    for index, one in zip(same, flats, strict=True):
                        found[index][key] = one.get(key, "-")
    return found


_TELLING = {field.name for field in dataclasses.fields(schema.Config) if field.metadata.get("affects_result", True)}
_IDLE = {
    f"{group.name}.{key.name}"
    for group in dataclasses.fields(schema.Config)
    if isinstance(group.type, type) and dataclasses.is_dataclass(group.type)
    for kind in (group.type, *group.type.__subclasses__())
    for key in dataclasses.fields(kind)
    if not key.metadata.get("affects_result", True)
} - {"endpoint.adapter"}  # known to a fingerprint by its digest: a result does depend on it
