"""Statistics of scores: intervals, paired differences, and what an option of a group is worth.

Scores of two runs are paired by the id of the question. Everything that is drawn is drawn with a seed.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 10_000
_DRAWS_HELD = 1_000_000  # 8 MB


def interval(values: Sequence[float]) -> list[float] | None:
    """95 % confidence interval of the mean: percentiles of the means of resamples (bootstrap), seeded."""
    if not values:
        return None
    sample = np.asarray(values)
    rng = np.random.default_rng(0)
    rows = max(1, _DRAWS_HELD // len(sample))
    means = np.concatenate(
        [rng.choice(sample, (min(rows, _RESAMPLES - done), len(sample))).mean(1) for done in range(0, _RESAMPLES, rows)]
    )
    low, high = np.percentile(means, [2.5, 97.5])
    return [float(low), float(high)]


@dataclass(frozen=True)
class Difference:
    """One run's scores less another's, on the questions that both have."""

    value: float | None
    """The mean; None where they have no question in common."""
    ci95: list[float] | None
    n: int
    p: float | None
    """How likely at least so much is where there is no difference, see `sign_flip`."""


def difference(scores: Mapping[str, float], less: Mapping[str, float]) -> Difference:
    """What the first scores have over the second, question by question."""
    found = [score - less[id] for id, score in scores.items() if id in less]
    value = float(np.mean(found)) if found else None
    return Difference(value, interval(found), len(found), sign_flip(found))


def sign_flip(differences: Sequence[float]) -> float | None:
    """Two-sided p-value of a mean difference, by the paired permutation test.

    Where the two runs are alike, each difference might as well have the other sign. Exact where all combinations of
    signs are few, else by random ones; as `scipy.stats.permutation_test` with `permutation_type="samples"`, whose
    import takes seconds.
    """
    if not differences:
        return None
    moved = np.asarray([d for d in differences if d])
    if not len(moved):
        return 1.0
    if 2 ** len(moved) <= _RESAMPLES:
        signs = 1 - 2 * (np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1)
        return float(np.mean(_as_far(signs, moved)))
    rng = np.random.default_rng(0)
    rows = max(1, _DRAWS_HELD // len(moved))
    as_far = sum(
        int(_as_far(rng.choice((-1.0, 1.0), (min(rows, _RESAMPLES - done), len(moved))), moved).sum())
        for done in range(0, _RESAMPLES, rows)
    )
    return (as_far + 1) / (_RESAMPLES + 1)


def _as_far(
    signs: "np.ndarray[tuple[int, ...], np.dtype[np.number]]",
    moved: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """Which combinations of signs bring the sum as far from 0 as it is; what rounding makes of a tie is a tie."""
    return np.abs(signs @ moved) >= abs(moved.sum()) - 1e-9


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979): the chance of one false alarm among them all stays at p."""
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = least
    return corrected


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which (score, cost) no other beats: none costs no more and scores higher, or scores no less and costs less."""
    front: set[tuple[float, float]] = set()
    best = float("-inf")
    for score, cost in sorted(set(points), key=lambda point: (point[1], -point[0])):
        if score > best:
            front.add((score, cost))
            best = score
    return [point in front for point in points]


@dataclass(frozen=True)
class Contribution:
    """What an option adds to the mean of the options of its group."""

    group: str
    option: str
    value: float
    ci95: list[float]
    runs: int
    """Runs with that option that it was taken from."""
    contexts: int
    """Settings of everything else in which all options of the group were run."""
    n: int
    """Questions that all of the runs have."""


def contributions(settings: Sequence[Mapping[str, str]], scores: Sequence[Mapping[str, float]]) -> list[Contribution]:
    """The marginal effect of every option of every group that was varied.

    Options are compared in equal contexts alone: settings of everything else in which each of them was run. A group
    for which there are none is left out.

    Args:
        settings: Of each run, the option by group. A key below a group (`optimizer.k` of `optimizer`) that not all
            runs have belongs to the option.
        scores: Of each run, the score by question.
    """
    groups = dict.fromkeys(group for one in settings for group in one)
    return [found for group in groups for found in _contributions_of(group, settings, scores)]


def _contributions_of(
    group: str, settings: Sequence[Mapping[str, str]], scores: Sequence[Mapping[str, float]]
) -> list[Contribution]:
    having = [index for index, one in enumerate(settings) if group in one]
    options = list(dict.fromkeys(settings[index][group] for index in having))
    if len(options) < 2:
        return []
    everywhere = set.intersection(*(set(one) for one in settings))
    contexts: dict[frozenset[tuple[str, str]], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index in having:
        others = {key: value for key, value in settings[index].items() if not _belongs(key, group, everywhere)}
        contexts[frozenset(others.items())][settings[index][group]].append(index)
    whole = [runs for runs in contexts.values() if len(runs) == len(options)]
    taken = [index for runs in whole for indices in runs.values() for index in indices]
    questions = sorted(set.intersection(*(set(scores[index]) for index in taken))) if taken else []
    if not questions:
        return []
    table = {index: np.array([scores[index][id] for id in questions]) for index in taken}
    # Contexts by options by questions.
    means = np.array([[np.mean([table[i] for i in runs[option]], axis=0) for option in options] for runs in whole])
    effects = (means - means.mean(axis=1, keepdims=True)).mean(axis=0)
    return [
        Contribution(
            group,
            option,
            float(effect.mean()),
            interval(effect.tolist()) or [],
            sum(len(runs[option]) for runs in whole),
            len(whole),
            len(questions),
        )
        for option, effect in zip(options, effects, strict=True)
    ]


def _belongs(key: str, group: str, everywhere: set[str]) -> bool:
    """Whether a key is the group's own, or one that only some of its options have."""
    return key == group or (key.startswith(f"{group}.") and key not in everywhere)
