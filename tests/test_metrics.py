"""What an answer is worth."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibleqa import config, metrics
from bibleqa.metrics import AsDSPy, Contains, ExactMatch, Metric, Theological, TokenF1
from bibleqa.schema import TermConfig

TERMS = {"elohim": TermConfig("H430", ["Elohim", "אלהים"]), "yhwh": TermConfig("H3068", ["YHWH", "Jehovah"])}
CONTAINS = Contains(slack_words=6)
THEOLOGICAL = Theological(CONTAINS, TERMS)
CONTEXT = "[Genesis 5:6] And Seth lived an hundred and five years, and begat Enos: and Seth lived after he begat Enos."


@pytest.mark.parametrize("metric", [ExactMatch(), TokenF1(), CONTAINS, THEOLOGICAL], ids=lambda m: type(m).__name__)
class TestEveryMetric:
    @pytest.mark.parametrize("answer", ["Seth", "the seth.", "SETH's"])
    def test_the_reference_answer_is_right(self, metric: Metric, answer: str) -> None:
        assert metric.score(["Seth"], answer).value == 1

    def test_a_variant_is_as_right(self, metric: Metric) -> None:
        assert metric.score(["Seth", "Sheth"], "Sheth").value == 1

    @pytest.mark.parametrize("answer", ["", "?", "the", "Enos", "Sethur"])
    def test_nothing_and_another_word_are_worth_nothing(self, metric: Metric, answer: str) -> None:
        assert metric.score(["Seth"], answer).value == 0

    def test_two_answers_without_a_word_do_not_match(self, metric: Metric) -> None:
        assert metric.score(["—"], "").value == metric.score(["The"], "a").value == 0

    def test_copying_the_context_does_not_pay(self, metric: Metric) -> None:
        assert metric.score(["Seth"], CONTEXT).value < 0.2

    def test_the_feedback_tells_a_wrong_answer_the_right_one(self, metric: Metric) -> None:
        assert "Seth" in metric.score(["Seth"], "Enos").feedback

    @given(st.text(), st.text(min_size=1))
    def test_a_score_is_a_fraction(self, metric: Metric, answer: str, reference: str) -> None:
        assert 0 <= metric.score([reference], answer).value <= 1


def test_exact_match_allows_no_further_word() -> None:
    assert ExactMatch().score(["Seth"], "Seth begat Enos").value == 0


@pytest.mark.parametrize(("further", "value"), [(6, 1), (7, 0)])
@pytest.mark.parametrize("metric", [CONTAINS, THEOLOGICAL], ids=lambda m: type(m).__name__)
def test_an_answer_may_be_so_many_words_longer(metric: Metric, further: int, value: float) -> None:
    assert metric.score(["king David"], " ".join(["king David", *["word"] * further])).value == value


def test_articles_are_not_counted_as_words() -> None:
    assert Contains(0).score(["Seth"], "the Seth").value == 1
    assert Contains(0).score(["Seth"], "his Seth").value == 0


def test_a_long_variant_that_is_not_in_the_answer_lends_no_length() -> None:
    assert Contains(0).score(["Seth", "Seth the son of Adam"], "it was Seth").value == 0
    assert Contains(0).score(["Seth", "Seth the son of Adam"], "Seth the son of Adam").value == 1


@pytest.mark.parametrize(
    ("accepted", "answer", "value"),
    [
        (["Elohim", "God"], "Elohim", 1),
        (["Elohim", "God"], "God", 0),
        (["Elohim", "God"], "God, that is H0430", 1),
        (["Elohim", "God"], "God: אֱלֹהִים", 1),
        (["YHWH Elohim", "LORD God"], "LORD God, YHWH", 0),
        (["YHWH Elohim", "LORD God"], "LORD God, Jehovah H430", 1),
        (["Seth"], "Seth", 1),
    ],
)
def test_critical_terms_of_the_reference_answer_must_be_named(accepted: list[str], answer: str, value: float) -> None:
    assert THEOLOGICAL.score(accepted, answer).value == value


def test_a_missed_term_is_said() -> None:
    assert "elohim (H430)" in THEOLOGICAL.score(["Elohim", "God"], "God").feedback
    assert "H430" not in THEOLOGICAL.score(["Elohim", "God"], "Baal").feedback


@pytest.mark.usefixtures("project")
def test_the_table_of_terms_knows_the_divine_names_by_number_and_by_hebrew() -> None:
    metric = metrics.build(config.compose(["metric=theological"]).metric)
    for form in ("Elohim", "אֱלֹהִים", "H0430"):
        assert metric.score([form], "H430 " + form).value == 1
        assert metric.score([f"{form} God", "God"], "God").value == 0
    for number, name in (("H3068", "יְהוָה"), ("H113", "Adon"), ("G2316", "Θεός")):
        assert metric.score([f"{name} it is", "it is"], f"it is {number}").value == 1
        assert metric.score([f"{name} it is", "it is"], "it is").value == 0


names = st.lists(st.sampled_from(["Adam", "Seth", "Enos", "the", "אדם"]), max_size=6).map(" ".join)


@given(names, names)
def test_f1_is_symmetric(one: str, other: str) -> None:
    assert TokenF1().score([one], other).value == TokenF1().score([other], one).value


@pytest.mark.parametrize(
    ("reference", "answer", "value"),
    [("Adam Seth", "Seth", 2 / 3), ("Adam Seth", "Seth Seth", 0.5), ("Adam Seth", "Seth Adam", 1), ("Adam", "Seth", 0)],
)
def test_f1_counts_every_shared_word_once(reference: str, answer: str, value: float) -> None:
    assert TokenF1().score([reference], answer).value == pytest.approx(value)


def test_f1_takes_the_nearest_variant() -> None:
    assert TokenF1().score(["son of Adam", "Seth"], "Seth").value == 1


def test_optimizers_see_the_same_score() -> None:
    metric = AsDSPy(CONTAINS)
    question = SimpleNamespace(accepted=["Seth", "Sheth"])
    assert metric(question, SimpleNamespace(answer="Sheth")) == 1
    assert metric(question, SimpleNamespace(answer=None), trace=[]) == 0
