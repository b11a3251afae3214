"""The answer in a reply that is still being written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibleqa.serve.pieces import answer_so_far

MARKED = {
    "chat": "[[ ## reasoning ## ]]\nIt says so.\n\n[[ ## answer ## ]]\n{}\n\n[[ ## completed ## ]]",
    "xml": "<reasoning>\nIt says so.\n</reasoning>\n<answer>\n{}\n</answer>",
}


@given(st.text().map(str.strip).filter(lambda text: not set("[<") & set(text)), st.sampled_from(sorted(MARKED)))
def test_what_is_told_is_the_answer_and_nothing_of_it_is_taken_back(answer: str, markup: str) -> None:
    reply = MARKED[markup].format(answer)
    told = [answer_so_far(reply[:end]) for end in range(len(reply) + 1)]

    assert told[-1] == answer
    assert all(answer.startswith(so_far) for so_far in told)


@given(st.text(st.characters(codec="utf-8")).map(str.strip), st.booleans())
def test_so_it_is_in_json(answer: str, ascii_only: bool) -> None:
    reply = json.dumps({"reasoning": 'the "answer"', "answer": answer}, ensure_ascii=ascii_only)
    told = [answer_so_far(reply[:end]) for end in range(len(reply) + 1)]

    assert told[-1] == answer
    assert all(answer.startswith(so_far) for so_far in told)


@pytest.mark.parametrize("reply", ["", "Seth", "[[ ## question ## ]]\nWho?", '{"reply": "Seth"}'])
def test_without_markup_nothing_is_told(reply: str) -> None:
    assert answer_so_far(reply) == ""
