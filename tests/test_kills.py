"""Commands killed at random moments, some of them again and again: what is left is readable, and they go on."""

import pytest
from kills import KINDS, Calm, cases, disturbed, undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["none", "bootstrap", "replay"])
def test_a_command_that_is_killed_ends_as_an_undisturbed_one(name: str) -> None:
    # With this seed the first kill comes before half of the calm time, for a machine that is less busy by then.
    case = disturbed(name, seed=57, most=2, calm=undisturbed(KINDS[name]))

    assert case.kills, "nothing was killed"
    assert case.unreadable == []
    assert case.crashed == []
    assert case.unequal == []
    assert case.paid_twice == 0


@pytest.mark.slow
def test_results_that_are_not_equal_are_seen() -> None:
    calm = undisturbed(KINDS["none"])
    ((fingerprint, (scores, answers)),) = calm.results.items()
    other = Calm(calm.seconds, {fingerprint: (scores, dict(list(answers.items())[1:]))}, calm.paid)

    assert disturbed("none", seed=1, most=1, calm=other).unequal


def test_cases_go_on_where_they_were() -> None:
    begun = cases(list(KINDS), 0)
    first = [next(begun) for _ in range(30)]
    again = cases(list(KINDS), 20)
    assert [next(again) for _ in range(10)] == first[20:]
    assert {name for name, _, _ in first} == set(KINDS)
