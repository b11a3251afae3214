"""Verses for a question without context: those it names are looked up, others are found; and programs that do so."""

import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import fake_openai
import numpy as np
import pytest
import retrieval as benchmark
import yaml
from dummies import chat, example, reader
from fake_openai import EMBEDDINGS, MODEL, Asked, Server, status
from hypothesis import given
from hypothesis import strategies as st
from project import Project

from bibleqa import assertions, config, evaluation, provenance, retrieval
from bibleqa import program as programs
from bibleqa.data import contexts
from bibleqa.data.item import Item, Turn
from bibleqa.data.kjv import kjv
from bibleqa.errors import ConfigError
from bibleqa.evaluation import Outcome
from bibleqa.nearest import NearestDemos
from bibleqa.retrieval import named
from bibleqa.retrieval.local import LocalEmbedder
from bibleqa.retrieval.vectors import vectors_of, with_neighbours
from bibleqa.schema import AssertionsConfig, Config, ProgramConfig, RetrieverConfig

FTS = RetrieverConfig("fts")


@pytest.fixture(scope="module", autouse=True)
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose index is built once for the tests here."""
    root = tmp_path_factory.mktemp("indexed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIBLEQA_PROJECT", str(root))
        yield root


@pytest.fixture(scope="module")
def fts() -> retrieval.Retriever:
    return retrieval.build(FTS)


def looked_up(question: str, *turns: str) -> list[str]:
    history = [Turn(turn, "So it is.") for turn in turns]
    return [str(verse) for verse in named.verses_of(question, history)]


def verses(place: str, *numbers: int) -> list[str]:
    return [f"{place}:{number}" for number in numbers]


# What a question names.


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What happens in John 3:16?", ["John 3:16"]),
        ("who fights in 1 sam 17:4-5", verses("1 Samuel 17", 4, 5)),
        ("What does Genesis chapter 5 verse 6 say?", ["Genesis 5:6"]),
        ("the words of John 3:16", ["John 3:16"]),
        ("first John 4:8", ["1 John 4:8"]),
        ("Song of Songs 2:1", ["Song of Songs 2:1"]),
        ("Compare Rom 5:8 with II Kings 4:2", ["Romans 5:8", "2 Kings 4:2"]),
        ("Who sings in Psalm 117?", verses("Psalms 117", 1, 2)),
        ("Jude 3", ["Jude 1:3"]),
        ("Gen 1:31-2:2", ["Genesis 1:31", "Genesis 2:1", "Genesis 2:2"]),
        ("John 3:16, and what of verses 18-19?", verses("John 3", 16, 18, 19)),
        ("Genesis 5:6 and 7 sons", ["Genesis 5:6"]),
        ("Is 5 more than 7? Ruth was 3 years old, the 12 tribes, seven 7:7, Mark 90:1", []),
        ("verses 4-6", []),
    ],
)
def test_a_reference_in_a_question_is_looked_up(question: str, expected: list[str]) -> None:
    assert looked_up(question) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who speaks in verses 4-6?", verses("Genesis 22", 4, 5, 6)),
        ("And in verse 9?", ["Genesis 22:9"]),
        ("What does that verse mean?", verses("Genesis 22", 1, 2)),
        ("And the next verse?", ["Genesis 22:3"]),
        ("Which is the verse before?", []),
        ("What of chapter 23, verse 2?", ["Genesis 23:2"]),
        ("How does this chapter end?", verses("Genesis 22", *range(1, 25))),
        ("And in verse 90?", []),
        ("Who was his father?", []),
    ],
)
def test_that_verse_is_what_the_history_speaks_of(question: str, expected: list[str]) -> None:
    assert looked_up(question, "Who begat Enos in Gen 5:6?", "Look at Genesis 22:1-2.", "Go on.") == expected


def test_a_book_is_not_looked_up_whole() -> None:
    assert len(looked_up("Psalm 119")) == named.MOST


def test_what_is_looked_up_comes_first_and_is_not_searched(fts: retrieval.Retriever) -> None:
    found = fts.search("Who was swallowed by a fish, Genesis 5:6?", 5)
    assert [passage.found for passage in found] == ["looked up", *["fts"] * 4]
    assert found[0].reference == "Genesis 5:6"
    assert "Jonah" in found[1].reference
    assert len({passage.reference for passage in found}) == 5
    assert len(fts.search("Genesis 22:1-14", 5)) == 14


# What is searched.

WELL_KNOWN = {
    "Where is it written: For God so loved the world?": "John 3:16",
    "Who said: Am I my brother's keeper?": "Genesis 4:9",
    "What did God create in the beginning?": "Genesis 1:1",
    "Who is my shepherd?": "Psalms 23:1",
    "Which animal spoke to Balaam?": "Numbers 22:28",
    "What is the wages of sin?": "Romans 6:23",
    "Who wept, Jesus?": "John 11:35",
    "What is faith the substance of?": "Hebrews 11:1",
    "How many pieces of silver did Judas get?": "Matthew 27:3",
    "Which weapons shall be beaten into plowshares?": "Isaiah 2:4",
    "Who hid the baby in an ark of bulrushes?": "Exodus 2:3",
    "What happened to Lot's wife who became a pillar of salt?": "Genesis 19:26",
}


@pytest.mark.parametrize(("question", "reference"), WELL_KNOWN.items())
def test_full_text_search_finds_what_is_well_known(question: str, reference: str, fts: retrieval.Retriever) -> None:
    assert reference in [passage.reference for passage in fts.search(question, 20)]


def test_todays_words_find_the_old_ones(fts: retrieval.Retriever) -> None:
    assert "spake" in kjv().passage("Numbers 7:89")[0].text
    assert "Numbers 7:89" in [p.reference for p in fts.search("the Voice spoke to Moses from the mercy seat", 5)]


def test_a_phrase_of_a_question_counts_beside_its_words(fts: retrieval.Retriever) -> None:
    """Genesis 10:12 has "Nineveh" in a short verse; who rises up in the judgment are "the men of Nineveh"."""
    found = [passage.reference for passage in fts.search("What did the men of Nineveh do?", 5)]
    assert found[0] == "Matthew 12:41"
    assert "Luke 11:32" in found


def test_a_follow_up_question_is_searched_with_the_turn_before_it(fts: retrieval.Retriever) -> None:
    history = [Turn("Who was swallowed by a great fish?", "Jonah")]
    assert not any("Jonah" in p.reference for p in fts.search("How many days was he there?", 5))
    assert any("Jonah" in p.reference for p in fts.search("How many days was he there?", 5, history))


@given(st.text(max_size=80) | st.sampled_from(['"', "NEAR(a b", "a AND", "* OR", "text:x", "{a}:b", "-a ^b", "' --"]))
def test_no_question_is_an_error(fts: retrieval.Retriever, text: str) -> None:
    assert len(fts.search(text, 3)) <= 3


def test_the_same_question_finds_the_same_verses_each_time(fts: retrieval.Retriever) -> None:
    first = fts.search("Who begat a son?", 20)
    assert len(first) == 20
    assert (
        retrieval.build(FTS).search("Who begat a son?", 20)
        == first
        == copy.deepcopy(fts).search("Who begat a son?", 20)
    )
    assert fts.search("Who begat a son?", 5) == first[:5]


# By meaning.


class Letters:
    """An embedder: how often each letter stands in a text."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: list[str]) -> np.ndarray:
        self.asked += texts
        return np.array([fake_openai.letters(text) for text in texts])


def test_vectors_are_made_once_and_go_on_where_they_were_interrupted(project: Path) -> None:
    class Dies(Letters):
        def embed(self, texts: list[str]) -> np.ndarray:
            if self.asked:
                raise ConnectionError
            return super().embed(texts)

    texts = [f"verse {number}" for number in range(600)]
    with pytest.raises(ConnectionError):
        vectors_of(texts, Dies(), "letters")
    second = Letters()
    vectors = vectors_of(texts, second, "letters")
    assert vectors.shape == (600, 26)
    assert len(second.asked) == 600 - 256
    assert (vectors_of(texts, second, "letters") == vectors).all()
    assert len(second.asked) == 600 - 256
    vectors_of(texts, second, "others")
    assert len(second.asked) == 600 - 256 + 600


def test_a_verse_leans_to_its_neighbours_but_not_to_another_chapter() -> None:
    leaning = with_neighbours(np.eye(3, dtype=np.float32), np.array([1, 1, 2]))
    assert leaning[0, 1] > 0
    assert leaning[2].tolist() == [0, 0, 1]
    assert np.linalg.norm(leaning, axis=1) == pytest.approx([1, 1, 1])


def embedding(server: Server, name: str) -> Config:
    address = f"embedder.base_url={server.base_url}"
    chosen = ("endpoint@embedder=openai", address, f"embedder.model={MODEL}", "embedder.retries=0")
    return config.compose(["program=retrieve_then_answer", f"retriever={name}", *chosen])


def test_an_endpoint_embeds_and_both_searches_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none-of-your-business")
    with fake_openai.running(lambda asked: "") as server:
        text = kjv().passage("John 11:35")[0].text
        for name in ("embeddings", "hybrid"):
            chosen = embedding(server, name)
            assert chosen.retriever.model is None
            found = retrieval.build(chosen.retriever, chosen.embedder).search(text, 5)
            assert found[0] == retrieval.Passage("John 11:35", text, name)
        sent = [request for request in server.requests if request.path == EMBEDDINGS]
        assert len(sent) == 122 + 1, "the verses once, the question once"


class Scored:
    """A search that has found what it is told."""

    name = "scored"

    def __init__(self, **scores: float) -> None:
        self._scores = {int(verse[1:]): score for verse, score in scores.items()}

    def scores(self, text: str, depth: int) -> dict[int, float]:
        return self._scores


def test_a_question_that_quotes_is_decided_by_its_words_and_another_by_its_meaning() -> None:
    meaning = Scored(v2=5.0, v1=3.0, v3=-0.5)
    quoted, asked = (retrieval.Hybrid(Scored(v1=words, v2=4.0), meaning) for words in (30.0, 6.0))
    assert list(quoted.scores("", 3)) == [1, 2, 3]
    assert list(asked.scores("", 2)) == [2, 1]


def test_a_model_on_this_machine_wants_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match=r"pip install .*bibleqa\[embeddings\]"):
        LocalEmbedder("all-MiniLM-L6-v2").embed(["ark"])


@pytest.mark.slow
def test_a_model_on_this_machine_knows_what_means_the_same(project: Path) -> None:
    one, same, other = LocalEmbedder("all-MiniLM-L6-v2").embed(
        ["The boat came to rest on a mountain.", "The ark rested upon Ararat.", "Thou shalt not steal."]
    )
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-4)
    assert one @ same > one @ other + 0.2


# The program.


class Fixed:
    """A retriever that finds the same verse for everything."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, list[Turn]]] = []

    def search(self, question: str, k: int, history: Any = ()) -> list[retrieval.Passage]:
        self.asked.append((question, k, list(history)))
        return [retrieval.Passage("Genesis 5:6", "And Seth begat Enos:", "fts")]

    def __deepcopy__(self, memo: object) -> "Fixed":
        return self


def retrieving() -> tuple[dspy.Module, Fixed]:
    fixed = Fixed()
    return programs.build(ProgramConfig("retrieve_then_answer"), fixed, 3), fixed


def told(program: dspy.Module, **inputs: Any) -> Any:
    """The inputs that the predictor had."""
    given = {"context": "", "question": "Who?", "history": dspy.History(messages=[]), **inputs}
    with dspy.context(lm=reader(lambda asked: chat("Seth")), adapter=dspy.ChatAdapter(), trace=[]):
        program(**given)
        return dspy.settings.trace[-1][1]


def test_a_question_without_context_gets_one_and_another_keeps_its_own() -> None:
    program, fixed = retrieving()
    turns = [{"question": "And?", "answer": "Yes"}]
    with retrieval.watched() as found:
        assert told(program, history=dspy.History(messages=turns))["context"] == "[Genesis 5:6] And Seth begat Enos:"
    assert [passage.reference for passage in found] == ["Genesis 5:6"]
    assert fixed.asked == [("Who?", 3, [Turn("And?", "Yes")])]
    with retrieval.watched() as found:
        assert told(program, context="[Genesis 1:1] x")["context"] == "[Genesis 1:1] x"
    assert found == []


def test_an_answer_is_held_to_the_verses_that_were_found_for_it() -> None:
    program, _ = retrieving()
    checked = assertions.enforce(program, AssertionsConfig("grounded", {"grounded": {}}, attempts=2))
    asked: list[object] = []

    def answers(one: object) -> str:
        asked.append(one)
        return chat("Seth" if len(asked) > 1 else "Adam")

    given = {"context": "", "question": "Who begat Enos?", "history": dspy.History(messages=[])}
    settings = dspy.context(lm=reader(answers), adapter=dspy.ChatAdapter())
    with settings, assertions.watched() as attempts, retrieval.watched() as found:
        assert checked(**given).answer == "Seth"
    assert (attempts.count, attempts.first, attempts.final) == (2, {"grounded": False}, {"grounded": True})
    assert [passage.reference for passage in found] == ["Genesis 5:6"], "recall is still told"


def test_train_questions_have_the_verses_that_their_answers_are_taken_from() -> None:
    program, _ = retrieving()
    bare = example(1).copy(context="")
    filled, kept = programs.with_contexts(NearestDemos(program), [bare, example(2)])
    assert filled.context == "[Genesis 5:6] And Seth begat Enos:"
    assert set(filled.inputs().keys()) == {"context", "question", "history"}
    assert kept.context == example(2).context
    assert programs.with_contexts(programs.build(ProgramConfig("predict")), [bare]) == [bare]


def test_a_program_that_retrieves_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    program, _ = retrieving()
    program.predictors()[0].demos = [example(1)]
    (tmp_path / "program.json").write_text(json.dumps(programs.dump(program)), encoding="utf-8")
    again = programs.load(retrieving()[0], tmp_path / "program.json")
    assert programs.dump(again) == programs.dump(program)
    with pytest.raises(ConfigError, match="another program"):
        programs.load(programs.build(ProgramConfig("predict")), tmp_path / "program.json")


# Config and figures.


def fingerprint(*overrides: str) -> str:
    return provenance.fingerprint(config.compose(overrides), "digest", {})


def test_the_retriever_is_of_account_to_programs_that_retrieve_alone() -> None:
    assert fingerprint("retriever=hybrid") == fingerprint("retriever.k=9") == fingerprint()
    assert fingerprint("retriever=hybrid", "endpoint@embedder=embedded_tiny") == fingerprint()
    kinds = ("retriever=fts", "retriever.k=9", "retriever=hybrid")
    assert len({fingerprint("program=retrieve_then_answer", kind) for kind in kinds} | {fingerprint()}) == 4


def test_what_embeds_verses_is_chosen_where_nobody_chose_it() -> None:
    chosen = config.compose(["program=retrieve_then_answer", "retriever=hybrid"])
    assert (chosen.retriever.model, chosen.embedder) == ("all-MiniLM-L6-v2", None)
    with pytest.raises(ConfigError, match="embedder: configured"):
        config.compose(["program=retrieve_then_answer", "endpoint@embedder=openai", "embedder.model=m"])


def test_recall_is_that_of_questions_with_a_passage() -> None:
    def outcome(id: str, *retrieved: str) -> Outcome:
        return Outcome(id, "t", "baseline", "", "x", 1.0, "", retrieved=list(retrieved) or None)

    items = [Item(id, "", "q", "a", reference=ref) for id, ref in (("a", "Gen 5:4-6"), ("b", "H430"), ("c", "Jude 3"))]
    outcomes = [outcome("a", "Genesis 1:1", "Genesis 5:6"), outcome("b", "Genesis 1:1"), outcome("c", "Jude 1:4")]
    assert evaluation.recall(outcomes, items, 2) == {"k": 2, "recall": 0.5, "n": 2}
    assert evaluation.recall([outcome("a")], items, 2) == {"k": 2, "recall": None, "n": 0}


NUN = Item("kinship:4026065:Joshua:Nun", "", "Whose son was Joshua?", "Nun", reference="Numbers 26:65")
JEHU = Item(
    "kinship:12009002:Jehu:Jehoshaphat", "", "Which son of Jehoshaphat is named?", "Jehu", reference="2 Kings 9:2"
)
VOICE = Item("speaker:40003017", "", "Who says “This is my beloved Son, in whom”?", "A voice", reference="Matthew 3:17")


@pytest.mark.parametrize(
    ("item", "right", "wrong"),
    [(NUN, "Judges 2:8", "Joshua 1:10"), (JEHU, "2 Kings 8:16", "1 Kings 22:50"), (VOICE, "Matthew 17:5", "Mark 9:7")],
)
def test_the_benchmark_counts_each_verse_that_answers_the_question_as_asked(item: Item, right: str, wrong: str) -> None:
    answering = {kjv()[verse].reference for verse in benchmark.answering(item)}
    assert {item.reference, right} <= answering
    assert wrong not in answering


def test_a_dataset_may_leave_the_verses_to_be_found() -> None:
    item = Item("i", "[Genesis 5:6] And Seth begat Enos:", "Who begat Enos?", "Seth", reference="Genesis 5:6")
    bare = contexts.widen(item, "none", kjv(), None)
    assert (bare.context, bare.open_book, bare.reference) == ("", True, "Genesis 5:6")


# Whole runs.

BOOK = {
    "Enos": ("Seth", "Genesis 5:6"),
    "Methuselah": ("Enoch", "Genesis 5:21"),
    "Lamech": ("Methuselah", "Genesis 5:25"),
}
BOOK |= {"Obed": ("Boaz", "Ruth 4:21"), "Jesse": ("Obed", "Ruth 4:22"), "Solomon": ("David", "Matthew 1:6")}


def rows(split: str) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{split}-{son}",
            "question": f"{split}: who begat {son}?",
            "answer": father,
            "metadata": {"reference": reference, "open_book": False},
        }
        for son, (father, reference) in BOOK.items()
    ]


def reads(asked: Asked) -> str:
    """A model that answers from the verses it is shown, on val with demos only."""
    son = asked.question.rpartition(" ")[2].rstrip("?")
    father, reference = BOOK.get(son, ("Nobody", "-"))
    knows = f"[{reference}]" in asked.text and (asked.demos or "val" not in asked.question)
    return father if knows else "Nobody"


@pytest.fixture
def server() -> Iterator[Server]:
    with fake_openai.running(reads) as server:
        yield server


@pytest.fixture
def begun(tmp_path: Path, server: Server) -> Project:
    project = Project(tmp_path, server.base_url)
    for split in ("train", "val", "test"):
        project.write(split, rows(split))
    return project


RETRIEVING = ("program=retrieve_then_answer", "dataset.open_book=false", "retriever.k=10", "metric=exact_match")


@pytest.mark.slow
def test_a_run_finds_verses_optimizes_and_reports_recall(begun: Project, server: Server) -> None:
    finished = begun.run(*RETRIEVING, "tracking=local")

    assert finished.code == 0, finished.err
    folder = begun.last
    found = folder.summary["retrieval"]
    assert (found["k"], found["n"]) == (10, len(BOOK))
    assert found["recall"] >= folder.summary["baseline"]["score"] > 0.5
    assert "recall@10 of the retriever" in finished.out
    for line in folder.predictions:
        assert len(line["retrieved"]) == 10
    demos = folder.json("program.json")["answer"]["demos"]
    assert demos
    assert all(demo["context"].startswith("[") for demo in demos), "what a demo's answer is taken from stands in it"

    from mlflow import MlflowClient

    run = MlflowClient(f"sqlite:///{begun.root}/mlflow.db").get_run(folder.summary["run_id"])
    assert run.data.metrics["retrieval.recall"] == found["recall"]

    for mode in ("replay", "evaluate"):
        asked = len(server.chats)
        again = begun.run(f"reproduce={folder.path}", f"reproduce.mode={mode}", "tracking=none")
        assert again.code == 0, again.err
        assert begun.last.summary["reproduction"]["identical"]
        assert mode != "replay" or len(server.chats) == asked


@pytest.mark.slow
def test_retrievers_are_swept(begun: Project) -> None:
    swept = begun.run(
        "-m", "optimizer=none", *RETRIEVING[:2], "metric=exact_match", "retriever=fts", "retriever.k=3,10"
    )

    assert swept.code == 0, swept.err
    configs = [yaml.safe_load(path.read_text()) for path in begun.root.glob("outputs/multirun/*/*/*/config.yaml")]
    assert {config["retriever"]["k"] for config in configs} == {3, 10}


def test_a_sweep_knows_which_retrievers_make_another_run(begun: Project) -> None:
    programs_and_retrievers = ("program=predict,retrieve_then_answer", "retriever=fts,hybrid")
    planned = begun.run("-m", "plan=true", "optimizer=none", *RETRIEVING[1:2], *programs_and_retrievers)

    assert planned.code == 0, planned.err
    assert "3 jobs" in planned.out, "predict retrieves nothing, whatever retriever is chosen"


@pytest.mark.slow
def test_an_endpoint_that_fails_to_embed_is_no_wrong_answer(begun: Project, server: Server) -> None:
    chosen = ("endpoint@embedder=openai", f"embedder.base_url={begun.base_url}", f"embedder.model={MODEL}")
    server.faults = [status(500, path=EMBEDDINGS, spares=122 + 3, times=1)]

    failed = begun.run(
        *RETRIEVING, "retriever=hybrid", *chosen, "embedder.retries=0", "embedder.patience=1", "optimizer=none"
    )

    assert failed.code == 1, failed.err
    assert begun.last.summary["baseline"]["errors"] == 1
    assert begun.last.summary["baseline"]["n"] == len(BOOK) - 1
