"""Intervals, paired differences, corrections and marginal effects: what must hold whatever the scores are."""

from itertools import product
from statistics import fmean

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bibleqa import comparison
from bibleqa.comparison import contributions, difference, holm, interval, pareto, sign_flip

SCORES = st.floats(0, 1).map(lambda score: round(score, 3))
DIFFERENCES = st.lists(st.sampled_from((-1.0, -0.5, 0.0, 0.25, 1.0)), min_size=1, max_size=40)
P_VALUES = st.lists(st.floats(0, 1), max_size=12)
POINTS = st.lists(st.tuples(SCORES, st.integers(0, 20)), max_size=15)


def test_the_interval_is_that_of_the_normal_approximation() -> None:
    low, high = interval([1.0] * 60 + [0.0] * 40) or []
    assert low == pytest.approx(0.6 - 1.96 * 0.049, abs=0.015)
    assert high == pytest.approx(0.6 + 1.96 * 0.049, abs=0.015)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_interval_holds_the_mean_and_is_the_same_each_time(values: list[float]) -> None:
    low, high = interval(values) or []
    assert low - 1e-9 <= fmean(values) <= high + 1e-9
    assert interval(values) == [low, high]


@pytest.mark.parametrize("n", [1, 3, 1000])
def test_the_interval_of_equal_values_is_that_value(n: int) -> None:
    assert interval([1.0] * n) == [1.0, 1.0]


def test_resamples_are_drawn_in_parts_without_losing_any(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [1.0, 0.0, 0.0, 1.0, 1.0]
    whole = interval(values)
    monkeypatch.setattr(comparison, "_DRAWS_HELD", 7 * len(values))
    assert interval(values) == whole


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1.0] * 5, 2 / 32),
        ([1.0, 1.0, -1.0], 1.0),
        ([1.0] * 3 + [0.0] * 50, 0.25),
        ([0.0, 0.0], 1.0),
        ([2.0, 1.0], 0.5),
    ],
)
def test_of_few_differences_the_p_value_is_exact(differences: list[float], p: float) -> None:
    assert sign_flip(differences) == pytest.approx(p)


@settings(max_examples=25)
@given(DIFFERENCES)
def test_the_p_value_has_no_side_and_is_a_probability(differences: list[float]) -> None:
    p = sign_flip(differences)
    assert p is not None
    assert 0 < p <= 1
    assert sign_flip([-d for d in differences]) == pytest.approx(p, abs=0.02)
    assert sign_flip(differences) == p


@pytest.mark.parametrize("n", [8, 40])
def test_the_p_value_is_that_of_scipy(n: int) -> None:
    import numpy as np
    from scipy.stats import permutation_test  # type: ignore[import-untyped]

    differences = np.random.default_rng(1).choice([1.0, 0.5, -1.0], n, p=[0.5, 0.2, 0.3])
    found = permutation_test((differences,), np.mean, permutation_type="samples", rng=2)
    assert sign_flip(differences.tolist()) == pytest.approx(found.pvalue, abs=0.02)


def test_signs_are_drawn_in_parts_without_losing_any(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = [1.0] * 20 + [-1.0] * 10
    whole = sign_flip(differences)
    monkeypatch.setattr(comparison, "_DRAWS_HELD", 7 * len(differences))
    assert sign_flip(differences) == whole


def test_a_difference_is_paired_by_question() -> None:
    found = difference({"a": 1.0, "b": 0.5, "c": 1.0}, {"b": 1.0, "a": 0.0, "z": 1.0})
    assert (found.value, found.n) == (0.25, 2)
    assert found.ci95 == [-0.5, 1.0]


def test_without_a_common_question_there_is_no_difference() -> None:
    assert difference({"a": 1.0}, {"b": 1.0}) == comparison.Difference(None, None, 0, None)


def test_holm_is_as_in_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(P_VALUES)
def test_holm_lowers_nothing_keeps_the_order_and_stays_under_bonferroni(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(p <= c <= min(1.0, len(p_values) * p) + 1e-12 for p, c in zip(p_values, corrected, strict=True))
    pairs = sorted(zip(p_values, corrected, strict=True))
    assert [c for _, c in pairs] == sorted(c for _, c in pairs)


@given(POINTS)
def test_the_front_is_what_nothing_beats(points: list[tuple[float, int]]) -> None:
    front = pareto(list(points))
    for (score, cost), on_front in zip(points, front, strict=True):
        beaten = any((s > score and c <= cost) or (s == score and c < cost) for s, c in points)
        assert on_front is not beaten


GRID = [
    {"optimizer": optimizer, "assertions": assertions}
    for optimizer, assertions in product(("none", "bootstrap", "gepa"), ("none", "strict"))
]


@settings(max_examples=25)
@given(st.lists(st.lists(SCORES, min_size=3, max_size=3), min_size=6, max_size=6))
def test_effects_of_a_group_add_up_to_nothing(table: list[list[float]]) -> None:
    scores = [dict(zip("abc", row, strict=True)) for row in table]
    found = contributions(GRID, scores)
    assert [(one.group, one.option) for one in found] == [
        ("optimizer", "none"),
        ("optimizer", "bootstrap"),
        ("optimizer", "gepa"),
        ("assertions", "none"),
        ("assertions", "strict"),
    ]
    assert sum(one.value for one in found[:3]) == pytest.approx(0, abs=1e-9)
    assert sum(one.value for one in found[3:]) == pytest.approx(0, abs=1e-9)
    overall = fmean(fmean(row) for row in table)
    assert found[1].value == pytest.approx(fmean([*table[2], *table[3]]) - overall)
    assert (found[0].contexts, found[3].contexts, found[0].n) == (2, 3, 3)
    assert all(one.ci95[0] - 1e-9 <= one.value <= one.ci95[1] + 1e-9 for one in found)


@settings(max_examples=25)
@given(st.lists(SCORES, min_size=4, max_size=4), st.floats(0.1, 0.5))
def test_an_effect_that_is_the_same_everywhere_is_found_and_certain(base: list[float], gain: float) -> None:
    settings_ = [{"a": a, "b": b} for a, b in product(("0", "1"), ("0", "1"))]
    scores = [{str(q): s + gain * (one["a"] == "1") for q, s in enumerate(base)} for one in settings_]
    none, some = contributions(settings_, scores)[:2]
    assert some.value == pytest.approx(gain / 2)
    assert none.value == pytest.approx(-gain / 2)
    assert some.ci95 == pytest.approx([gain / 2] * 2)
    assert [one.value for one in contributions(settings_, scores)[2:]] == pytest.approx([0, 0], abs=1e-9)


def test_only_contexts_with_every_option_count() -> None:
    """strict was never run with gepa: the options of assertions are compared where optimizer is none."""
    settings_ = [GRID[0], GRID[1], GRID[4]]
    found = contributions(settings_, [{"q": 0.0}, {"q": 1.0}, {"q": 0.5}])
    assert [(one.group, one.option, one.value, one.contexts) for one in found] == [
        ("optimizer", "none", -0.25, 1),
        ("optimizer", "gepa", 0.25, 1),
        ("assertions", "none", -0.5, 1),
        ("assertions", "strict", 0.5, 1),
    ]


def test_a_group_without_a_common_context_is_left_out() -> None:
    settings_ = [{"optimizer": "none", "program": "predict"}, {"optimizer": "gepa", "program": "chain_of_thought"}]
    assert contributions(settings_, [{"q": 0.0}, {"q": 1.0}]) == []


def test_a_key_that_only_some_options_have_belongs_to_the_option() -> None:
    settings_ = [
        {"optimizer": "none"},
        {"optimizer": "knn", "optimizer.k": "3"},
        {"optimizer": "knn", "optimizer.k": "5"},
    ]
    found = contributions(settings_, [{"q": 0.0}, {"q": 0.5}, {"q": 1.0}])
    assert [(one.group, one.option, one.value, one.runs) for one in found] == [
        ("optimizer", "none", -0.375, 1),
        ("optimizer", "knn", 0.375, 2),
        ("optimizer.k", "3", -0.25, 1),
        ("optimizer.k", "5", 0.25, 1),
    ]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.floats(0, 1))
def test_runs_of_equal_settings_count_as_one(repeated: list[float], other: float) -> None:
    assume(abs(fmean(repeated) - other) > 1e-6)
    settings_ = [*({"a": "0"} for _ in repeated), {"a": "1"}]
    found = contributions(settings_, [*({"q": score} for score in repeated), {"q": other}])
    assert [one.value for one in found] == pytest.approx(
        [(fmean(repeated) - other) / 2, (other - fmean(repeated)) / 2], abs=1e-9
    )


def test_effects_are_taken_on_the_questions_that_all_have() -> None:
    found = contributions([{"a": "0"}, {"a": "1"}], [{"q": 0.0, "x": 1.0}, {"q": 1.0, "y": 0.0}])
    assert [(one.value, one.n) for one in found] == [(-0.5, 1), (0.5, 1)]
    assert contributions([{"a": "0"}, {"a": "1"}], [{"x": 1.0}, {"y": 0.0}]) == []
