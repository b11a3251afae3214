"""How a request is written, the same for a demo and a question, and how a reply is read, whatever has come."""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError
from dummies import ECHO, FOLLOW_UP, built, chat, example, item, model
from hypothesis import given
from hypothesis import strategies as st

from bibleqa import adapters
from bibleqa import program as programs
from bibleqa.adapters import Reading
from bibleqa.metrics import Judgement
from bibleqa.salvage import WAYS, salvage
from bibleqa.schema import AdapterConfig

ADAPTERS = ("chat", "json", "xml")
PROGRAMS = ("predict", "chain_of_thought")
Messages = list[dict[str, Any]]


def messages(adapter: str, program: dspy.Module, asked: dspy.Example) -> Messages:
    """What is sent: system message first."""
    (predictor,) = program.predictors()
    inputs = dict(asked.inputs())
    sent: Messages = adapters.build(AdapterConfig(adapter)).format(predictor.signature, predictor.demos, inputs)
    return sent


@pytest.mark.parametrize("adapter", ADAPTERS)
class TestEveryAdapter:
    def test_history_is_written_as_turns(self, adapter: str) -> None:
        sent = messages(adapter, built(), example(1, history=FOLLOW_UP))
        assert [message["role"] for message in sent] == ["system", "user", "assistant", "user", "assistant", "user"]
        for message, words in zip(
            sent[1:], ["Who begat Enos?", "Seth", "Who begat Seth?", "Adam", "Father1"], strict=True
        ):
            assert words in message["content"]

    def test_a_demo_is_written_as_a_request_and_its_answer(self, adapter: str) -> None:
        asked = example(1, history=FOLLOW_UP)
        request = messages(adapter, built(), asked)[1:]
        demo = messages(adapter, built(demos=[asked]), example(2))[1:-1]
        assert demo[: len(request) - 1] == request[:-1]
        assert request[-1]["content"].startswith(demo[-2]["content"])
        assert [demo[-2]["role"], demo[-1]["role"]] == ["user", "assistant"]
        assert "Son1" in demo[-1]["content"]

    def test_a_demo_without_history_is_one_exchange(self, adapter: str) -> None:
        sent = messages(adapter, built(demos=[example(1), example(2)]), example(3))
        assert [message["role"] for message in sent] == ["system", *["user", "assistant"] * 2, "user"]

    @pytest.mark.parametrize("name", PROGRAMS)
    def test_demos_loaded_from_a_file_are_written_as_they_were(self, adapter: str, name: str, tmp_path: Path) -> None:
        bootstrapped = dspy.Example(augmented=True, **example(4).inputs(), reasoning="Thus.", answer="Son4")
        labeled = [example(1, history=FOLLOW_UP, context=""), example(2, answer="אֱלֹהִים")]
        program = built(name, [bootstrapped, *labeled])
        about = {"program": name, "adapter": adapter}
        (tmp_path / "program.json").write_text(json.dumps({**programs.dump(program), "bibleqa": about}))
        loaded = programs.load(built(name), tmp_path / "program.json")
        asked = example(3, history=FOLLOW_UP)
        assert messages(adapter, loaded, asked) == messages(adapter, program, asked)
        assert programs.digest(loaded) == programs.digest(program)

    @pytest.mark.parametrize("name", PROGRAMS)
    def test_nothing_but_the_signatures_fields_reaches_the_prompt(self, adapter: str, name: str) -> None:
        marked = {"type": "MARKED", "variants": ("MARKED",), "reference": "MARKED 1:1", "strongs_id": "MARKED"}
        asked = programs.example(item(1, history=FOLLOW_UP, **marked))
        asked.id = "MARKED"
        sent = messages(adapter, built(name, [asked]), asked)
        assert "Father1" in str(sent)
        assert "MARKED" not in str(sent)

    def test_the_reference_answer_is_not_in_the_question(self, adapter: str) -> None:
        assert "SECRET" not in str(messages(adapter, built(), example(1, answer="SECRET", history=FOLLOW_UP)))

    def test_the_system_message_names_the_task_and_no_history_field(self, adapter: str) -> None:
        (system, *_) = messages(adapter, built(), example(1))
        assert "Answer the question about the Bible" in system["content"]
        assert "history" not in system["content"]


@pytest.mark.parametrize("adapter", ["chat", "xml"])
def test_an_unreadable_answer_is_asked_for_as_json_with_the_same_demos(adapter: str) -> None:
    answers = iter(["Seth, I think.", '{"answer": "Seth"}'])
    lm = model(lambda asked: next(answers))
    with dspy.context(lm=lm, adapter=adapters.build(AdapterConfig(adapter))):
        prediction = built(demos=[example(1, history=FOLLOW_UP)])(**example(2).inputs())
    assert prediction.answer == "Seth"
    first, second = lm.engine.asked
    assert len(first.messages) == len(second.messages) == 7
    assert "history" not in str(second.messages)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_no_adapter_can_read_is_said_to_be_so(adapter: str) -> None:
    lm = model(lambda asked: ECHO)
    with dspy.context(lm=lm, adapter=adapters.build(AdapterConfig(adapter))), pytest.raises(AdapterParseError):
        built()(**example(2).inputs())


def test_the_json_adapter_sends_the_schema_of_the_answer() -> None:
    lm = model(lambda asked: '{"answer": "Seth"}')
    with dspy.context(lm=lm, adapter=adapters.build(AdapterConfig("json"))):
        built()(**example(2).inputs())
    (asked,) = lm.engine.asked
    assert '"answer"' in json.dumps(asked.config.response_format)


# Replies.

ONE = programs.BibleQA.delete("history")
TWO = ONE.prepend("reasoning", dspy.OutputField(), str)


def parsed(adapter: str, signature: Any, text: str) -> tuple[dict[str, Any], str | None] | None:
    """The fields and how they were salvaged; None where they could not be read."""
    with adapters.watched() as readings:
        try:
            fields = adapters.build(AdapterConfig(adapter)).parse(signature, text)
        except AdapterParseError:
            assert not readings
            return None
    (reading,) = readings
    assert reading.fields == fields
    return fields, reading.salvaged


AS_ASKED = {
    "chat": chat("Seth"),
    "json": '{"answer": "Seth"}',
    "xml": "<answer>\nSeth\n</answer>",
}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_is_as_asked_is_no_salvage(adapter: str) -> None:
    assert parsed(adapter, ONE, AS_ASKED[adapter]) == ({"answer": "Seth"}, None)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("sent", AS_ASKED)
def test_each_reads_the_others_formats(adapter: str, sent: str) -> None:
    found = parsed(adapter, ONE, AS_ASKED[sent])
    assert found is not None
    assert found[0] == {"answer": "Seth"}


MALFORMED = {
    # stanfordnlp/dspy#8220, #8503: Ollama and LM Studio send a string where an object was asked for.
    "a JSON string": ('"Seth"', ONE, "json", {"answer": "Seth"}),
    "a JSON string in a fence": ('```json\n"Seth"\n```', ONE, "json", {"answer": "Seth"}),
    "fenced JSON": ('Sure!\n```json\n{"answer": "Seth"}\n```\nHope it helps.', ONE, "json", {"answer": "Seth"}),
    "JSON in prose": ('The answer is {"answer": "Seth"}, I think.', ONE, "json", {"answer": "Seth"}),
    "single quotes": ("{'answer': 'Seth',}", ONE, "json", {"answer": "Seth"}),
    "JSON cut off": ('{"reasoning": "He begat.", "answer": "Seth', TWO, "json", None),
    "another case": ('{"Answer": "Seth"}', ONE, "json", {"answer": "Seth"}),
    "a number": ('{"answer": 105}', ONE, "json", {"answer": "105"}),
    "escapes": (r'{"answer": "\u05d0\"\ud83d\ude00"}', ONE, "json", {"answer": 'א"😀'}),
    # #8539: the object within another, and as text within another.
    "nested": ('{"json": {"reasoning": "Thus.", "answer": "Seth"}}', TWO, "json", None),
    "nested as text": (r'{"json": "{\"reasoning\": \"Thus.\", \"answer\": \"Seth\"}"}', TWO, "json", None),
    # #8264: the call of a tool.
    "a tool's call": (
        '{"type": "function", "name": "json_tool_call", "parameters": {"reasoning": "Thus.", "answer": "Seth"}}',
        TWO,
        "json",
        None,
    ),
    # #8379, #8901: markers that no line break precedes.
    "no line breaks": (
        "[[ ## reasoning ## ]] Thus.[[ ## answer ## ]] Seth[[ ## completed ## ]]",
        TWO,
        "headers",
        {"reasoning": "Thus.", "answer": "Seth"},
    ),
    "sloppy brackets": ("[[## Answer ##]]\nSeth\n[[## completed ##]]", ONE, "headers", {"answer": "Seth"}),
    "headings": ("## Reasoning:\nThus.\n\n## Answer:\nSeth", TWO, "headers", None),
    "bold": ("**Reasoning:** Thus.\n\n**Answer:** Seth", TWO, "headers", None),
    "bold line": ("**answer**\nSeth", ONE, "headers", {"answer": "Seth"}),
    "bold all": ("**Answer: Seth**", ONE, "headers", {"answer": "Seth"}),
    "a list": ("- Reasoning: Thus.\n- Answer: Seth", TWO, "headers", None),
    "lines": ("Let me see.\nReasoning: Thus.\nAnswer: Seth", TWO, "headers", None),
    "tags": ("<Reasoning>Thus.</Reasoning>\n<Answer>Seth</Answer> There you are.", TWO, "headers", None),
    "the placeholder first": ("answer: {answer}\nanswer: Seth", ONE, "headers", {"answer": "Seth"}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_local_models_send_is_read(name: str) -> None:
    text, signature, way, fields = MALFORMED[name]
    expected = fields or {"reasoning": "He begat." if "begat" in text else "Thus.", "answer": "Seth"}
    assert parsed("chat", signature, text) == (expected, way)


ECHOES = {
    "nothing": "",
    "white space": " \n\t ",
    "an empty answer": chat(""),
    "the placeholder": chat("{answer}"),
    "the placeholder in JSON": '{"answer": "{answer}"}',
    "the placeholder in tags": "<answer>...</answer>",
    "the description": "Answer: a name, a number or a few words",
    "the request": "Respond with the corresponding output fields, starting with the field `[[ ## answer ## ]]`, "
    "and then ending with the marker for `[[ ## completed ## ]]`.",
    "the request for tags": "Respond with the corresponding output fields wrapped in XML tags `<answer>`.",
    "the question": ECHO,
    "the question in tags": "<context>\n<question>Who begat Enos?</question>",
    "the instructions": "Answer the question about the Bible as briefly as possible: a name, a number or a few words.",
    "the schema": '{"properties": {"answer": {"type": "string"}}, "required": ["answer"]}',
    "other JSON": '{"name": "Seth"}',
    "headers alone": "[## answer##]\n[## answer##]\n[## answer##]",
    "a conversation of its own": "[[## answer ## ]]\nSeth\n\n[[## question ## ]]\nWho begat Seth?\n\n[[## answ",
    "two answers": "Answer: Seth\nAnswer: Adam",
    "tags of its own": "<context>\n<answer>\n<name>Seth</name>\n<number>1</number>",
    "marks": "- - - ***",
}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", ECHOES)
def test_an_echo_is_no_answer(adapter: str, name: str) -> None:
    lm = model(lambda asked: ECHOES[name])
    settings = {"lm": lm, "adapter": adapters.build(AdapterConfig(adapter))}
    with adapters.watched() as readings, dspy.context(**settings), pytest.raises(AdapterParseError):
        built()(**example(1).inputs())
    assert readings == []
    assert len(lm.engine.asked) == (1 if adapter == "json" else 2), "it was asked again in JSON"


@pytest.mark.parametrize(
    "text", ["Seth", "Answer: Seth", "**Reasoning:** He begat him.", '{"answer": "Seth"}', '"Seth"']
)
def test_where_a_field_is_missing_nothing_is_read(text: str) -> None:
    assert parsed("chat", TWO, text) is None
    assert salvage(TWO, text, WAYS) is None


def test_a_value_must_be_of_its_fields_type() -> None:
    assert parsed("chat", Judgement, "**Reason:** So it says.\n**Verdict:** perhaps") is None
    found = parsed("chat", Judgement, "**Reason:** So it says.\n**Verdict:** partly")
    assert found == ({"reason": "So it says.", "verdict": "partly"}, "headers")


class TestTheOrder:
    """JSON and headers of the first reply; the question again in JSON; the bare answer at last."""

    @pytest.mark.parametrize("adapter", ["chat", "xml"])
    @pytest.mark.parametrize(
        ("replies", "answer", "salvaged"),
        [
            (["**Answer:** Seth"], "Seth", "headers"),
            (["Seth, I think.", '{"answer": "Seth"}'], "Seth", None),
            (["Seth, I think.", "**Answer:** Seth"], "Seth", "headers"),
            (["Seth", '{"answer": ""}'], "Seth", "plain"),
            (["Seth, I think.", "Seth"], "Seth", "plain"),
            (["Seth", ""], "Seth", "plain"),
            (["", "Seth"], "Seth", "plain"),
        ],
    )
    def test_is(self, adapter: str, replies: list[str], answer: str, salvaged: str | None) -> None:
        left = iter(replies)
        assert asked(adapter, partial(next_of, left)) == (answer, [Reading({"answer": answer}, salvaged, None)])
        assert next(left, None) is None

    def test_is_the_same_in_json_but_for_the_second_request(self) -> None:
        assert asked("json", lambda asked: "Seth") == ("Seth", [Reading({"answer": "Seth"}, "plain", None)])


def next_of(left: Iterator[str], asked: str) -> str:
    return next(left)


def asked(adapter: str, answer: Callable[[str], str]) -> tuple[str, list[Reading]]:
    with (
        adapters.watched() as readings,
        dspy.context(lm=model(answer), adapter=adapters.build(AdapterConfig(adapter))),
    ):
        return built()(**example(1).inputs()).answer, readings


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_cannot_be_read_is_kept_as_it_came(adapter: str) -> None:
    text = 'Well: {"name": "Seth"} [[ ## question ## ]]'
    with pytest.raises(AdapterParseError) as refused:
        adapters.build(AdapterConfig(adapter)).parse(ONE, text)
    assert refused.value.lm_response == text


def test_an_endpoint_that_answers_nothing_has_not_answered_none() -> None:
    with pytest.raises(AdapterParseError):
        asked("chat", lambda asked: "")


# Whatever comes.

PIECES = st.sampled_from(
    [
        *(
            "[[ ## ",
            " ## ]]",
            "[",
            "]",
            "{",
            "}",
            '"',
            "'",
            ":",
            ",",
            "\\",
            "\\u05d0",
            "```json\n",
            "```",
            "# ",
            "- ",
            "**",
        ),
        *(
            "<answer>",
            "</answer>",
            "<a",
            "answer",
            "Answer:",
            "reasoning",
            "question",
            "Seth",
            "אדם",
            "1",
            "null",
            " ",
            "\n",
        ),
    ]
)
REPLIES = st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join))


@given(REPLIES, st.sampled_from(ADAPTERS), st.sampled_from([ONE, TWO]))
def test_whatever_comes_gives_all_fields_or_none(text: str, adapter: str, signature: Any) -> None:
    found = parsed(adapter, signature, text)
    assert found is None or found[0].keys() == signature.output_fields.keys()
    assert parsed(adapter, signature, text) == found, "the same the second time"


@given(REPLIES, st.sampled_from([ONE, TWO]), st.sampled_from(list(WAYS)))
def test_nothing_is_made_up(text: str, signature: Any, way: str) -> None:
    found = salvage(signature, text, [way])
    if found:
        for value in found[1].values():
            assert bare(value) in bare(text)
            assert value.strip()


def bare(text: str) -> str:
    """Without white space and what JSON escapes."""
    decoded = text.replace("\\u05d0", "א").replace("\\n", "").replace("\\t", "")
    return "".join(decoded.replace("\\", "").split())


@given(st.text(alphabet="abc אב.,-'", min_size=1).map(str.strip).filter(lambda said: any(map(str.isalpha, said))))
def test_a_bare_answer_is_the_whole_text(said: str) -> None:
    assert salvage(ONE, said, WAYS) == ("plain", {"answer": said})


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    "piece",
    [
        "{",
        "[",
        "(",
        "}",
        "{}",
        '{"',
        '{"}',
        '{"a":',
        "{'",
        "<",
        "<a>",
        "<answer>",
        "[[ ## ",
        "answer:\n",
        "**",
        "```\n",
    ],
)
def test_a_hundred_kilobytes_of_brackets_are_refused_at_once(adapter: str, piece: str) -> None:
    begun = time.process_time()
    assert parsed(adapter, ONE, piece * (100_000 // len(piece))) is None
    assert time.process_time() - begun < 3


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_tags_that_nest_as_deep_as_they_close(adapter: str) -> None:
    assert parsed(adapter, ONE, "<answer>" * 6000 + "Seth" + "</answer>" * 6000) == ({"answer": "Seth"}, "headers")


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("shown", [0, 2])
@pytest.mark.parametrize("program", PROGRAMS)
def test_without_a_history_a_prompt_is_dspys_own(adapter: str, shown: int, program: str) -> None:
    """What is made once for all questions of a signature is what DSPy makes for each."""
    mine = adapters.build(AdapterConfig(adapter))
    own = {"chat": dspy.ChatAdapter, "json": dspy.JSONAdapter, "xml": dspy.XMLAdapter}[adapter]()
    (predictor,) = built(program).predictors()
    bare = predictor.signature.delete("history")
    for instructions in ("Be brief.", "Be long."):
        signature = predictor.signature.with_instructions(instructions)
        for number in range(3):
            asked = example(number).inputs()
            demos = [dict(example(10 + n)) | {"reasoning": "Thus."} for n in range(shown)]
            there = [{name: value for name, value in one.items() if name != "history"} for one in demos]
            expected = own.format(bare.with_instructions(instructions), there, asked.without("history"))
            assert mine.format(signature, demos, asked) == expected
            later = example(number, history=FOLLOW_UP).inputs()
            assert mine.format(signature, [], later)[1:] == own.format(signature, [], later)[1:]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_instructions_that_are_set_later_are_those_of_the_next_prompt(adapter: str) -> None:
    mine = adapters.build(AdapterConfig(adapter))
    signature = programs.BibleQA.with_instructions("Be brief.")
    for said in ("Be brief.", "Be long."):
        signature.instructions = said
        assert said in mine.format(signature, [], example(1).inputs())[0]["content"]
