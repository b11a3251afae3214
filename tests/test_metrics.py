"""What an answer is worth."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import fake_openai
import numpy as np
import pytest
from dspy.utils.exceptions import LMError
from dummies import example
from fake_openai import EMBEDDINGS, MODEL, Server, Verbatim, html, reset, status
from hypothesis import given
from hypothesis import strategies as st

from bibleqa import config, metrics
from bibleqa.errors import EndpointUnusable
from bibleqa.lm import embeddings
from bibleqa.lm.answers import SHARED, Answers, Kept, Source
from bibleqa.lm.meter import Meter
from bibleqa.metrics import (
    Contains,
    ExactMatch,
    Metric,
    Own,
    Score,
    Semantic,
    Theological,
    TokenF1,
    VerdictUnreadable,
    Weighted,
)
from bibleqa.schema import EndpointConfig, TermConfig

TERMS = {"elohim": TermConfig("H430", ["Elohim", "אלהים"]), "yhwh": TermConfig("H3068", ["YHWH", "Jehovah"])}
CONTAINS = Contains(slack_words=6)
THEOLOGICAL = Theological(CONTAINS, TERMS)
CONTEXT = "[Genesis 5:6] And Seth lived an hundred and five years, and begat Enos: and Seth lived after he begat Enos."


WEIGHTED = Weighted({"theological": (0.7, THEOLOGICAL), "token_f1": (0.2, TokenF1())})


def asked(*accepted: str) -> dspy.Example:
    """A question with those right answers."""
    return example(1, answer=accepted[0], variants=accepted[1:])


@pytest.mark.parametrize(
    "metric", [ExactMatch(), TokenF1(), CONTAINS, THEOLOGICAL, WEIGHTED], ids=lambda m: type(m).__name__
)
class TestEveryMetric:
    @pytest.mark.parametrize("answer", ["Seth", "the seth.", "SETH's"])
    def test_the_reference_answer_is_right(self, metric: Metric, answer: str) -> None:
        assert metric.score(asked("Seth"), answer).value == 1

    def test_a_variant_is_as_right(self, metric: Metric) -> None:
        assert metric.score(asked("Seth", "Sheth"), "Sheth").value == 1

    @pytest.mark.parametrize("answer", ["", "?", "the", "Enos", "Sethur"])
    def test_nothing_and_another_word_are_worth_nothing(self, metric: Metric, answer: str) -> None:
        assert metric.score(asked("Seth"), answer).value == 0

    def test_two_answers_without_a_word_do_not_match(self, metric: Metric) -> None:
        assert metric.score(asked("—"), "").value == metric.score(asked("The"), "a").value == 0

    def test_copying_the_context_does_not_pay(self, metric: Metric) -> None:
        assert metric.score(asked("Seth"), CONTEXT).value < 0.2

    def test_the_feedback_tells_a_wrong_answer_the_right_one(self, metric: Metric) -> None:
        assert "Seth" in metric.score(asked("Seth"), "Enos").feedback

    @given(st.text(), st.text(min_size=1))
    def test_a_score_is_a_fraction(self, metric: Metric, answer: str, reference: str) -> None:
        assert 0 <= metric.score(asked(reference), answer).value <= 1


def test_exact_match_allows_no_further_word() -> None:
    assert ExactMatch().score(asked("Seth"), "Seth begat Enos").value == 0


@pytest.mark.parametrize(("further", "value"), [(6, 1), (7, 0)])
@pytest.mark.parametrize("metric", [CONTAINS, THEOLOGICAL], ids=lambda m: type(m).__name__)
def test_an_answer_may_be_so_many_words_longer(metric: Metric, further: int, value: float) -> None:
    assert metric.score(asked("king David"), " ".join(["king David", *["word"] * further])).value == value


def test_articles_are_not_counted_as_words() -> None:
    assert Contains(0).score(asked("Seth"), "the Seth").value == 1
    assert Contains(0).score(asked("Seth"), "his Seth").value == 0


def test_a_long_variant_that_is_not_in_the_answer_lends_no_length() -> None:
    assert Contains(0).score(asked("Seth", "Seth the son of Adam"), "it was Seth").value == 0
    assert Contains(0).score(asked("Seth", "Seth the son of Adam"), "Seth the son of Adam").value == 1


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
    assert THEOLOGICAL.score(asked(*accepted), answer).value == value


@pytest.mark.parametrize(
    ("metric", "answer", "told"),
    [
        (ExactMatch(), "YHWH Elohim", "Right."),
        (ExactMatch(), "Baal", "The answer is 'YHWH Elohim', and nothing more."),
        (TokenF1(), "Elohim", "Words shared with 'YHWH Elohim': F1 0.67."),
        (CONTAINS, "LORD God", "Right."),
        (CONTAINS, "Baal", "The answer is 'YHWH Elohim'."),
        (CONTAINS, "LORD God" + " word" * 7, "'YHWH Elohim' is in it, but 8 words must do: be brief."),
        (THEOLOGICAL, "LORD God", "It must name elohim (H430), yhwh (H3068)."),
        (THEOLOGICAL, "Baal", "The answer is 'YHWH Elohim'."),
    ],
)
def test_the_feedback_tells_what_is_missed(metric: Metric, answer: str, told: str) -> None:
    assert metric.score(asked("YHWH Elohim", "LORD God"), answer).feedback == told


@pytest.mark.usefixtures("project")
def test_the_table_of_terms_knows_the_divine_names_by_number_and_by_hebrew() -> None:
    metric = metrics.build(config.compose(["metric=theological"]))
    assert metric == metrics.theological()
    for form in ("Elohim", "אֱלֹהִים", "H0430"):
        assert metric.score(asked(form), "H430 " + form).value == 1
        assert metric.score(asked(f"{form} God", "God"), "God").value == 0
    for number, name in (("H3068", "יְהוָה"), ("H113", "Adon"), ("G2316", "Θεός")):
        assert metric.score(asked(f"{name} it is", "it is"), f"it is {number}").value == 1
        assert metric.score(asked(f"{name} it is", "it is"), "it is").value == 0


names = st.lists(st.sampled_from(["Adam", "Seth", "Enos", "the", "אדם"]), max_size=6).map(" ".join)


@given(names, names)
def test_f1_is_symmetric(one: str, other: str) -> None:
    assert TokenF1().score(asked(one), other).value == TokenF1().score(asked(other), one).value


@pytest.mark.parametrize(
    ("reference", "answer", "value"),
    [("Adam Seth", "Seth", 2 / 3), ("Adam Seth", "Seth Seth", 0.5), ("Adam Seth", "Seth Adam", 1), ("Adam", "Seth", 0)],
)
def test_f1_counts_every_shared_word_once(reference: str, answer: str, value: float) -> None:
    assert TokenF1().score(asked(reference), answer).value == pytest.approx(value)


def test_f1_takes_the_nearest_variant() -> None:
    assert TokenF1().score(asked("son of Adam", "Seth"), "Seth").value == 1


def test_a_weighted_metric_is_the_mean_of_its_parts() -> None:
    metric = Weighted({"contains": (3, CONTAINS), "exact_match": (1, ExactMatch())})
    score = metric.score(asked("Seth"), "it was Seth")
    assert score.value == 0.75
    assert score.feedback == "contains 1.00: Right. exact_match 0.00: The answer is 'Seth', and nothing more."


@pytest.mark.usefixtures("project")
def test_a_weighted_metric_is_built_of_options_with_their_own_keys() -> None:
    parts = "+metric.parts={exact_match: 0.3, contains: {weight: 0.7, slack_words: 1}}"
    drop = ["~metric.parts.theological", "~metric.parts.token_f1"]
    metric = metrics.build(config.compose(["optimizer=none", "metric=weighted", *drop, parts]))
    assert metric == Weighted({"exact_match": (0.3, ExactMatch()), "contains": (0.7, Contains(1))})


@pytest.mark.parametrize(
    ("gives", "score"),
    [
        (0, Score(0.0, "The answer is 'Seth'.")),
        (1, Score(1.0, "The answer is 'Seth'.")),
        ((0.5, "Nearly."), Score(0.5, "Nearly.")),
        ((1, "Right."), Score(1.0, "Right.")),
    ],
)
def test_a_function_of_ones_own_gives_a_number_alone_or_with_a_text(gives: Any, score: Score) -> None:
    def function(example: dspy.Example, answer: str, further: int) -> Any:
        assert (example.accepted, answer, further) == (["Seth"], "Enos", 3)
        return gives

    assert Own(function, {"further": 3}).score(asked("Seth"), "Enos") == score


@pytest.fixture
def server(project: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    before = dspy.cache
    with fake_openai.running(verdict("right", "They are the same.")) as server:
        yield server
    dspy.cache = before


def verdict(word: str, reason: str) -> fake_openai.Answer:
    return lambda asked: Verbatim(f'{{"reason": "{reason}", "verdict": "{word}"}}')


def built(name: str, server: Server, **keys: Any) -> Metric:
    role = {"judge": "judge", "semantic": "embedder"}[name]
    keys = {"base_url": server.base_url, "model": MODEL, "api_key_env": "null", "retries": 2, **keys}
    given = [f"{role}.{key}={value}" for key, value in keys.items()]
    return metrics.build(config.compose(["optimizer=none", f"metric={name}", f"endpoint@{role}=openai", *given]))


@pytest.mark.parametrize(("word", "value"), [("right", 1), ("partly", 0.5), ("wrong", 0)])
def test_a_judge_gives_a_verdict_and_a_reason(server: Server, word: str, value: float) -> None:
    server.answer = verdict(word, "Because \\n so.")
    score = built("judge", server).score(asked("Seth", "Sheth"), "Enos")
    assert score == Score(value, f"{word.capitalize()}: Because so.")


def test_a_judge_sees_all_that_a_verdict_needs_and_nothing_else(server: Server) -> None:
    metric = built("judge", server)
    metric.score(example(7, answer="Seth", variants=("Sheth",)), "Enos")
    (request,) = server.chats
    system, user = (message["content"] for message in request.body["messages"])
    assert "partly: it says a part" in system
    for shown in ("Whom did Father7 beget?", "And Father7 begat Son7.", "Seth | Sheth", "Enos"):
        assert shown in user
    assert request.body["response_format"]["type"] == "json_schema"


def test_a_judge_is_asked_once_for_the_same_answer(server: Server) -> None:
    for _ in range(2):
        built("judge", server).score(asked("Seth"), "Enos")
    assert len(server.chats) == 1


def test_a_judge_is_asked_all_over_where_the_run_asks_again_also_as_a_part(server: Server) -> None:
    judge = [f"judge.base_url={server.base_url}", f"judge.model={MODEL}", "judge.api_key_env=null"]
    parts = ["metric=weighted", "+metric.parts.judge=1", "endpoint@judge=openai"]
    composed = config.compose(["optimizer=none", *parts, *judge])
    for source in (SHARED, SHARED, Source(again="f1")):
        metrics.build(composed, source).score(asked("Seth"), "Enos")
    assert len(server.chats) == 2


@pytest.mark.parametrize("said", ["It is right.", '{"reason": "So.", "verdict": "maybe"}', '{"reason": "So."}', "{}"])
def test_what_is_no_verdict_is_an_error_of_the_judge(server: Server, said: str) -> None:
    server.answer = lambda asked: Verbatim(said)
    with pytest.raises(VerdictUnreadable, match="no verdict") as unread:
        built("judge", server).score(asked("Seth"), "Seth")
    assert MODEL in str(unread.value.model)


def test_the_calls_of_a_judge_are_counted(server: Server) -> None:
    metric, meter = built("judge", server), Meter()
    trace: list[Any] = []
    with dspy.context(lm=None, adapter=dspy.ChatAdapter(), trace=trace, **meter.settings):
        for answer in ("Seth", "Enos", "Seth"):
            metric.score(asked("Seth"), answer)
    assert (meter.usage.calls, meter.usage.cached_calls) == (3, 1)
    assert meter.usage.input_tokens > 0
    assert trace == []


def test_a_judge_that_fails_gives_no_score(server: Server) -> None:
    server.faults = [status(500)]
    with pytest.raises(LMError):
        built("judge", server, retries=0).score(asked("Seth"), "Seth")


@pytest.mark.parametrize("name", ["judge", "semantic"])
def test_a_probe_says_whose_endpoint_does_not_answer(server: Server, name: str) -> None:
    metric = built(name, server, retries=0)
    metrics.probe(Weighted({"token_f1": (1, TokenF1()), name: (1, metric)}))
    server.faults = [status(500, path=path) for path in (EMBEDDINGS, fake_openai.CHAT)]
    with pytest.raises(EndpointUnusable, match=r"^(judge|embedder): .*scripted 500"):
        metrics.probe(Weighted({"part": (1, metric if name == "judge" else fresh(server))}))


def fresh(server: Server) -> Metric:
    """The same at an address that has answered nothing yet."""
    return built("semantic", server, base_url=server.base_url.replace("127.0.0.1", "localhost"), retries=0)


@pytest.mark.parametrize(("name", "role"), [("judge", "judge"), ("semantic", "embedder")])
def test_whoever_has_no_key_is_named(name: str, role: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_KEY", raising=False)
    with pytest.raises(EndpointUnusable, match=rf"^{role}: .*NO_KEY"):
        built(name, server, api_key_env="NO_KEY")


def test_an_answer_is_right_that_lies_near_an_accepted_one(server: Server) -> None:
    metric = built("semantic", server)
    assert metric.score(asked("Seth", "Sheth"), "shteh") == Score(1.0, "Near 'Sheth' in meaning (similarity 1.00).")
    wrong = metric.score(asked("Seth"), "Moab")
    assert (wrong.value, "'Seth'" in wrong.feedback, "0.00" in wrong.feedback) == (0.0, True, True)
    for accepted, answer in (("Seth", " "), (" ", "Seth")):
        assert metric.score(asked(accepted), answer) == Score(0.0, f"The answer is {accepted!r}.")


def test_an_answer_is_right_that_lies_as_near_as_it_must() -> None:
    class Halfway:
        def embed(self, texts: list[str]) -> Any:
            return np.array([[1.0, 0.0], [0.5, 0.75**0.5]])

    assert Semantic(Halfway(), 0.5).score(asked("Seth"), "Sheth").value == 1
    assert Semantic(Halfway(), 0.51).score(asked("Seth"), "Sheth").value == 0


def test_a_vector_is_asked_for_once(server: Server) -> None:
    for _ in range(2):
        built("semantic", server).score(asked("Seth", "Sheth", "Seth"), "Enos")
    built("semantic", server).score(asked("Seth"), "Cain")
    assert server.embedded == [["Enos", "Seth", "Sheth"], ["Cain"]]


def test_the_key_of_an_embedder_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "sk-marked")
    server.key = "sk-marked"
    assert built("semantic", server, api_key_env="THE_KEY").score(asked("Seth"), "Seth").value == 1


@pytest.mark.parametrize("fault", [status(429), status(503), reset()], ids=["429", "503", "reset"])
def test_an_embedder_is_tried_again(server: Server, fault: fake_openai.Fault) -> None:
    fault.path, fault.times = EMBEDDINGS, 2
    server.faults = [fault]
    assert built("semantic", server).score(asked("Seth"), "Seth").value == 1


@pytest.mark.parametrize(
    "fault", [status(401), status(400), status(500), html(), reset(), fake_openai.Fault(body='{"data": []}')]
)
def test_an_embedder_that_fails_gives_no_score(server: Server, fault: fake_openai.Fault) -> None:
    fault.path = EMBEDDINGS
    server.faults = [fault]
    with pytest.raises(LMError):
        built("semantic", server).score(asked("Seth"), "Seth")


def test_an_endless_answer_is_compared_by_its_beginning(server: Server) -> None:
    built("semantic", server).score(asked("Seth"), "word " * 10_000)
    assert max(map(len, server.embedded[0])) == embeddings.MOST_CHARACTERS


@pytest.mark.slow
def test_the_embedded_embedder_says_the_same_each_time_and_tells_some_meanings_apart(tmp_path: Path) -> None:
    texts = ["death", "dying", "eternal life", "Aaron", "x" * 5000, "אלהים" * 1000]

    def fresh(name: str) -> embeddings.EmbeddedEmbedder:
        model = EndpointConfig(name="tiny", kind="embedded", model="smollm2-135m-instruct")
        return embeddings.EmbeddedEmbedder(model.model, 2, Kept(Answers(tmp_path / name), model))

    one, other = fresh("one"), fresh("other")
    vectors = one.embed(texts)
    assert (other.embed(texts[::-1])[::-1] == vectors).all()
    metric = Semantic(one, 0.5)
    assert metric.score(asked("death"), "dying").value == 1
    assert metric.score(asked("death"), "eternal life").value == 0
