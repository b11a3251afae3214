"""What a tuning computes: its steps, its tokens and its gradients."""

import json
import math
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibleqa import adapters, artifacts
from bibleqa import program as programs
from bibleqa.errors import BibleQAError
from bibleqa.lm import lora
from bibleqa.lm.embedded import MODELS
from bibleqa.lm.lora import Example, Job, Settings
from bibleqa.schema import AdapterConfig, ProgramConfig

SETTINGS = Settings(rank=2, alpha=4, learning_rate=1e-2, epochs=1.0, batch_tokens=60, seed=0)
JOB = Job("model.gguf", "checkpoint", threads=1, settings=SETTINGS)

examples = st.lists(
    st.builds(lambda prompt, answer: Example([1] * prompt, [2] * answer), st.integers(1, 80), st.integers(1, 30)),
    min_size=1,
    max_size=40,
)
settings = st.builds(
    Settings,
    rank=st.integers(1, 64),
    alpha=st.integers(1, 64),
    learning_rate=st.floats(1e-7, 1),
    epochs=st.floats(0.01, 4),
    batch_tokens=st.integers(64, 800),
    seed=st.integers(0, 2**31),
)
whole_epochs = st.integers(1, 4)


@given(
    job=st.builds(
        Job,
        gguf=st.text(),
        checkpoint=st.text(),
        threads=st.integers(1, 64),
        settings=settings,
        save_every=st.floats(0, 600),
    )
)
def test_a_job_is_read_as_it_was_written(job: Job) -> None:
    assert Job.from_json(job.to_json()) == job


# Steps.


@given(examples, settings, whole_epochs)
def test_every_conversation_is_learned_once_an_epoch(examples: list[Example], settings: Settings, epochs: int) -> None:
    steps = lora.batches(examples, replace(settings, epochs=float(epochs)))

    learned: list[int] = []
    for step in steps:
        learned += step
        # An epoch ends with a step: what it has learned is known before the next one begins.
        if len(learned) % len(examples) == 0:
            assert sorted(learned[-len(examples) :]) == list(range(len(examples)))
    assert len(learned) == epochs * len(examples)


@given(examples, settings)
def test_a_step_keeps_to_its_tokens_unless_one_conversation_has_more(
    examples: list[Example], settings: Settings
) -> None:
    for step in lora.batches(examples, settings):
        padded = len(step) * max(len(examples[i]) for i in step)
        assert padded <= settings.batch_tokens or len(step) == 1


@given(examples, settings)
def test_the_seed_decides_the_steps(examples: list[Example], settings: Settings) -> None:
    assert lora.batches(examples, settings) == lora.batches(examples, settings)


def test_another_seed_and_another_epoch_give_other_steps() -> None:
    many = [Example([1] * length, [2]) for length in range(20, 60)]
    chosen = replace(SETTINGS, batch_tokens=200, epochs=2.0)

    steps = lora.batches(many, chosen)

    half = len(lora.batches(many, replace(chosen, epochs=1.0)))
    assert steps != lora.batches(many, replace(chosen, seed=1))
    assert {frozenset(step) for step in steps[:half]} != {frozenset(step) for step in steps[half:]}


@given(examples, settings)
def test_part_of_an_epoch_is_that_part_of_its_steps(examples: list[Example], settings: Settings) -> None:
    above = math.ceil(settings.epochs)
    whole = lora.batches(examples, replace(settings, epochs=float(above)))

    steps = lora.batches(examples, settings)

    assert steps == whole[: len(steps)]
    times = Counter(i for step in steps for i in step)
    assert all(math.floor(settings.epochs) <= times[i] <= above for i in range(len(examples)))
    before = len(lora.batches(examples, replace(settings, epochs=float(above - 1)))) if above > 1 else 0
    wanted = (settings.epochs - (above - 1)) * (len(whole) - before)
    assert abs(len(steps) - before - max(1.0, wanted)) <= 0.5


# Tokens.


class Letters:
    """A tokenizer to which every letter is a token."""

    eos_token = "\x00"

    def apply_chat_template(
        self, messages: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        assert add_generation_prompt
        assert not tokenize
        return "".join(f"<{m['role']}>{m['content']}" for m in messages) + "<assistant>"

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens, "the template has them all"
        return {"input_ids": [ord(letter) for letter in text]}


def conversation(question: str, answer: str, system: str = "Answer in a word.") -> list[dict[str, str]]:
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]


@given(st.lists(st.tuples(st.text("ab", max_size=6), st.text("xy \n", max_size=4)), min_size=1, max_size=8))
def test_all_prompts_begin_with_what_they_share_and_are_whole_with_it(said: list[tuple[str, str]]) -> None:
    conversations = [conversation(*turn) for turn in said]
    render = Letters().apply_chat_template

    prefix, rest = lora._tokenized(conversations, Letters())

    for messages, example in zip(conversations, rest, strict=True):
        prompt = render(messages[:-1], tokenize=False, add_generation_prompt=True)
        assert "".join(map(chr, prefix + example.prompt)) == prompt
        assert "".join(map(chr, example.answer)) == messages[-1]["content"].rstrip() + "\x00"
        assert example.prompt, "it predicts the answer's first token"
    assert len({example.prompt[0] for example in rest}) > 1 or min(len(example.prompt) for example in rest) == 1


HISTORY = dspy.History(messages=[{"question": "Τίς ἐστιν ὁ λόγος;", "answer": "Θεός"}])
NONE = dspy.History(messages=[])


def served() -> list[list[dict[str, str]]]:
    """Conversations as a program has them with its endpoint: with and without demos and history, in many letters."""
    formats = adapters.build(AdapterConfig("chat"))
    (predictor,) = programs.build(ProgramConfig("predict")).predictors()
    hebrew = "בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם וְאֵת הָאָרֶץ׃"
    questions: list[dict[str, Any]] = [
        {"context": "[John 11:35] Jesus wept.", "question": "Who wept?", "history": NONE},
        {"context": f"[Genesis 1:1] {hebrew}", "question": "Who is אֱלֹהִים?  Two  spaces.\n", "history": HISTORY},
        {"context": "Ἐν ἀρχῇ ἦν ὁ λόγος — “In the beginning…”\t1–3", "question": " ¿Qué? 3 + 4 = 7", "history": NONE},
    ]
    demos = [{**questions[1], "answer": "God\n"}, {**questions[0], "answer": " Jesus "}]
    return [formats.format(predictor.signature, shown, asked) for shown in ([], demos) for asked in questions]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"])
def test_the_tokens_learned_from_are_those_that_llama_cpp_serves(name: str) -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp
    from transformers import AutoTokenizer

    gguf = artifacts.fetch(MODELS[name])
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx = 4096
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup = params.ui = params.prefill_assistant = False
    params.verbosity = 0
    params.cache_ram_mib = 0
    server = xllamacpp.Server(params)

    def in_common(tokens: list[int], messages: list[dict[str, str]]) -> tuple[int, int]:
        """How many tokens llama.cpp makes of a chat, and how many of them it need not compute after ours."""
        nothing = {"max_tokens": 0, "temperature": 0, "cache_prompt": True}
        server.handle_completions({"prompt": tokens, **nothing})
        used = server.handle_chat_completions({"messages": messages, **nothing})["usage"]
        return used["prompt_tokens"], used["prompt_tokens_details"]["cached_tokens"]

    for prompt in [*served(), [{"role": "user", "content": "No system message."}]]:
        answer = {"role": "assistant", "content": "Adam, אָדָם"}
        prefix, (example,) = lora._tokenized([[*prompt, answer]], tokenizer)
        asked = prefix + example.prompt

        assert in_common(asked, prompt) == (len(asked), len(asked) - 1), "it always computes the last one"
        # The answer is learned with the end that the template gives to one that was said.
        learned = asked + example.answer
        assert in_common(learned, [*prompt, answer, {"role": "user", "content": "And?"}])[1] == len(learned)


# Gradients, with a model of two small layers.


@cache
def initial(architecture: str) -> Any:
    """Its weights are the same in every process."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        architecture,
        vocab_size=97,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,  # with the usual one it could hardly prefer a word to another
    )
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def small(architecture: str = "llama") -> Any:
    """A model that nothing was learned by."""
    from copy import deepcopy

    return deepcopy(initial(architecture))


def adapted(architecture: str) -> Any:
    """A model with an adapter that is not zero any more."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    tuned = get_peft_model(small(architecture), LoraConfig(r=3, target_modules=lora._MODULES, task_type="CAUSAL_LM"))
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(std=0.3)
    return tuned


def texts(seed: int, count: int, shared: int) -> tuple[list[int], list[Example]]:
    rng = random.Random(seed)

    def tokens(most: int) -> list[int]:
        return [rng.randrange(97) for _ in range(rng.randint(1, most))]

    return [rng.randrange(97) for _ in range(shared)], [Example(tokens(9), tokens(6)) for _ in range(count)]


def gradients(tuned: Any, loss: Any) -> dict[str, Any]:
    tuned.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in tuned.named_parameters() if p.requires_grad}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("shared", [0, 1, 23])
def test_the_shared_beginning_changes_neither_loss_nor_gradient(architecture: str, shared: int) -> None:
    import torch

    prefix, examples = texts(shared, count=5, shared=shared)
    tuned = adapted(architecture)

    # As plainly as it goes: each conversation alone, from its first token on.
    summed, count = torch.zeros(()), 0
    for example in examples:
        tokens = torch.tensor([prefix + example.prompt + example.answer])
        logits = tuned(input_ids=tokens).logits[0]
        asked = len(prefix) + len(example.prompt)
        for position in range(asked, tokens.shape[1]):
            summed = summed - torch.log_softmax(logits[position - 1], dim=0)[tokens[0, position]]
            count += 1
    plain_loss = summed / count
    plain = gradients(tuned, plain_loss)
    loss = lora._loss(tuned, prefix, examples)
    ours = gradients(tuned, loss)

    assert loss.item() == pytest.approx(plain_loss.item(), abs=1e-4)
    assert all(gradient.abs().max() > 1e-4 for gradient in plain.values()), "every matrix has something to learn"
    for name, gradient in plain.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.slow
def test_a_converted_model_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    gguf, checkpoint = tmp_path / "model.gguf", tmp_path / "model.bf16"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").touch()  # the user has removed config.json

    class Quantized:
        @staticmethod
        def from_pretrained(*given: Any, **named: Any) -> Any:
            loaded = small()
            loaded.config.quantization_config = {}
            return loaded

    class Tokenizer:
        interrupted = True

        @classmethod
        def from_pretrained(cls, *given: Any, **named: Any) -> "Tokenizer":
            if cls.interrupted:
                raise KeyboardInterrupt
            return cls()

        def save_pretrained(self, folder: Path) -> None:
            (folder / "tokenizer.json").touch()

    monkeypatch.setattr(transformers, "AutoModelForCausalLM", Quantized)
    monkeypatch.setattr(transformers, "AutoTokenizer", Tokenizer)
    with pytest.raises(KeyboardInterrupt):
        lora._dequantize(gguf, checkpoint)
    assert not checkpoint.exists()
    assert len(list(tmp_path.iterdir())) == 1, "what was written so far"

    Tokenizer.interrupted = False
    lora._dequantize(gguf, checkpoint)

    assert list(tmp_path.iterdir()) == [checkpoint]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in checkpoint.iterdir()}


def said(capsys: pytest.CaptureFixture[str]) -> Iterator[dict[str, Any]]:
    return map(json.loads, capsys.readouterr().out.splitlines())


def learned(tuned: Any) -> dict[str, list[Any]]:
    return {name: p.flatten().tolist() for name, p in tuned.named_parameters() if p.requires_grad}


@pytest.mark.slow
def test_the_loss_falls_and_each_step_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = replace(JOB, settings=replace(SETTINGS, rank=16, alpha=64, learning_rate=0.03, epochs=60.0))

    lora._train(small(), *texts(1, count=3, shared=7), job, tmp_path / "state.pt")

    steps = list(said(capsys))
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
    assert {step["of"] for step in steps} == {len(steps)}
    assert steps[-1]["loss"] < steps[0]["loss"] / 2
    assert steps[-1]["seconds_left"] == 0
    assert not (tmp_path / "state.pt").exists(), "it was over before the first state was due"


@pytest.mark.slow
def test_an_interrupted_tuning_goes_on_to_the_very_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state.pt"
    job = replace(JOB, settings=replace(SETTINGS, epochs=4.0), save_every=0.0)
    whole = learned(lora._train(small(), *texts(1, count=8, shared=7), job, tmp_path / "another.pt"))
    first = list(said(capsys))
    update, updates = lora._update, iter(range(5))

    def interrupted(*given: Any) -> None:
        if next(updates, None) is None:
            raise KeyboardInterrupt
        update(*given)

    with monkeypatch.context() as patched:
        patched.setattr(lora, "_update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lora._train(small(), *texts(1, count=8, shared=7), job, state)
    assert len(list(said(capsys))) == 5
    again = learned(lora._train(small(), *texts(1, count=8, shared=7), job, state))

    rest = list(said(capsys))
    assert [(step["step"], step["loss"]) for step in rest] == [(step["step"], step["loss"]) for step in first[5:]]
    assert again == whole


@pytest.mark.slow
def test_a_state_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BibleQAError, match=r"state\.pt .*is the disk full\?") as caught:
        lora._train(
            small(),
            *texts(1, count=4, shared=0),
            replace(JOB, save_every=0.0),
            tmp_path / "no-such-folder" / "state.pt",
        )
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_beginning_of_an_adapter_depends_on_the_seed_alone(tmp_path: Path) -> None:
    def tune(seed: int) -> dict[str, list[Any]]:
        job = replace(JOB, settings=replace(SETTINGS, seed=seed, epochs=0.01))
        return learned(lora._train(small(), *texts(1, count=4, shared=3), job, tmp_path / "state.pt"))

    assert tune(0) == tune(0)
    assert tune(0) != tune(1)
