from collections import Counter
from collections.abc import Callable

import yaml

from bibleqa import metrics, paths
from bibleqa import program as programs
from bibleqa.data.build import answer_stands
from bibleqa.data.item import Item
from bibleqa.data.questions.theological_term import TERMS
from bibleqa.schema import TermConfig
from bibleqa.text import contains

Asked = Callable[[str], dict[str, Item]]


def metric() -> metrics.Theological:
    config = yaml.safe_load((paths.conf() / "metric" / "theological.yaml").read_text(encoding="utf-8"))
    terms = {name: TermConfig(**term) for name, term in config["terms"].items()}
    return metrics.Theological(metrics.Contains(config["slack_words"]), terms)


def test_the_terms_are_those_of_the_metric() -> None:
    demanded = {term.strongs: set(term.forms) for term in metric().terms.values()}
    assert {number: {term.name, *term.also} for number, term in TERMS.items()} == {
        number: {
            form[0].lower() + form[1:] if TERMS[number].name.islower() and form.isascii() else form for form in forms
        }
        for number, forms in demanded.items()
    }


def test_the_metric_takes_every_accepted_answer(asked: Asked) -> None:
    score = metric()
    for item in asked("theological_term").values():
        for answer in item.accepted:
            assert score.score(programs.example(item), answer).value == 1.0, (item, answer)


def test_god_is_no_answer_where_the_term_is_asked_for(asked: Asked) -> None:
    item = asked("theological_term")["theological_term:18009002:god"]
    assert (item.question, item.answer) == ("In Job 9:2, what is the Hebrew term for “God”?", "El")
    assert "God: H410 El" in item.context
    assert metric().score(programs.example(item), "God").value == 0.0


def test_most_answers_name_their_term(asked: Asked) -> None:
    items = asked("theological_term").values()
    named = [
        i for i in items
        if any(contains(i.answer, form) for form in (i.strongs_id, TERMS[i.strongs_id].name))
    ]  # fmt: skip
    assert len(named) >= 0.8 * len(items)


def test_every_answer_stands_in_a_short_context(asked: Asked) -> None:
    for item in asked("theological_term").values():
        assert answer_stands(item), item
        assert len(item.context) < 900


def test_every_term_is_asked_about_and_none_dominates(asked: Asked) -> None:
    items = asked("theological_term").values()
    assert len(items) >= 1400
    by_term = Counter(item.strongs_id for item in items)
    assert by_term.keys() == TERMS.keys()
    assert max(by_term.values()) <= 75
    assert min(by_term.values()) >= 30
