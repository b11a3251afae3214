"""Low-rank adaptation (LoRA) of an embedded model, in a process of its own: `python -m bibleqa.lm.lora <folder>`.

The folder holds `job.json` (a `Job`) and `train.jsonl`, one conversation a line, `{"messages": […]}`, whose last
message is the answer to learn. What comes of it is `adapter.gguf` beside them. Progress is a line of JSON on standard
output for each step. The process ends when its standard input does: it does not outlive the run that started it.

Every prompt begins with the same instructions (and demos). They are computed once a step, and all conversations of
the step attend to them: the gradient is the same as if each had been computed whole, at a fraction of the tokens.
"""

import json
import math
import os
import random
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from bibleqa import runs
from bibleqa.errors import BibleQAError
from bibleqa.lm import adapter

if TYPE_CHECKING:
    import torch

_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
_WIDTHS = 32
"""Conversations are padded to a multiple of so many tokens."""
_WARM_UP = 0.05
"""Share of the steps over which the learning rate rises."""


@dataclass(frozen=True)
class Settings:
    """What a tuning depends on, beside model and data."""

    rank: int
    alpha: int
    learning_rate: float
    epochs: float
    batch_tokens: int
    """Tokens of a step at the most, the shared beginning not counted; one conversation may have more."""
    seed: int


@dataclass(frozen=True)
class Job:
    """What job.json says."""

    gguf: str
    """The base model's file."""
    checkpoint: str
    """Folder for the base model as transformers reads it; made when it is not there."""
    threads: int
    settings: Settings
    save_every: float = 60.0
    """Seconds between the states from which an interrupted tuning goes on."""

    def to_json(self) -> str:
        """The file."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """The inverse of `to_json`."""
        fields = json.loads(text)
        return cls(**{**fields, "settings": Settings(**fields["settings"])})


@dataclass(frozen=True)
class Example:
    """A conversation as token ids, without what all of them begin with."""

    prompt: list[int]
    answer: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


def main(folder: Path) -> None:
    """Tune, and leave adapter.gguf in the folder."""
    job = Job.from_json((folder / "job.json").read_text(encoding="utf-8"))
    import torch

    torch.set_num_threads(job.threads)
    _say(note="loading the model")
    model, tokenizer = _base_model(Path(job.gguf), Path(job.checkpoint))
    with (folder / "train.jsonl").open(encoding="utf-8") as lines:
        prefix, examples = _tokenized([json.loads(line)["messages"] for line in lines], tokenizer)
    tuned = _train(model, prefix, examples, job, folder / "state.pt")
    config = model.config
    factors = {name: p.detach().float().cpu().numpy() for name, p in tuned.named_parameters() if p.requires_grad}
    heads = (config.num_attention_heads, config.num_key_value_heads)
    with _writing(folder / "adapter.gguf") as path:
        adapter.write(path, config.model_type, job.settings.alpha, factors, heads)


def _say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def _base_model(gguf: Path, checkpoint: Path) -> tuple[Any, Any]:
    """The base model in bfloat16 and its tokenizer; the first time, out of the GGUF file, which takes a minute."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with FileLock(checkpoint.with_name(f".{checkpoint.name}.lock")):  # another tuning may be at it
        if not (checkpoint / "config.json").exists():
            _dequantize(gguf, checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype="bfloat16")
    model.to(_device())  # type: ignore[arg-type]  # transformers decorates it so that its type is lost
    return model, AutoTokenizer.from_pretrained(checkpoint)


def _dequantize(gguf: Path, checkpoint: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _say(note="converting the model, once")
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="bfloat16")
    config = loaded.config
    del config.quantization_config  # what was loaded with it, transformers refuses to save
    plain = type(loaded)(config)
    plain.to(loaded.dtype)  # type: ignore[arg-type]  # as above
    plain.load_state_dict(loaded.state_dict())
    draft = checkpoint.with_name(f".{checkpoint.name}.draft")
    for left in (draft, checkpoint):  # by a conversion that was interrupted, or half removed by the user
        shutil.rmtree(left, ignore_errors=True)
    plain.save_pretrained(draft)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(draft)
    runs.put_in_place(draft, checkpoint)


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _tokenized(conversations: Sequence[list[dict[str, str]]], tokenizer: Any) -> tuple[list[int], list[Example]]:
    """What all prompts begin with, and the rest of each; token by token what llama.cpp sees when it serves them."""
    prompts, answers = [], []
    for messages in conversations:
        prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
        prompts.append(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        answer = messages[-1]["content"].rstrip() + tokenizer.eos_token
        answers.append(tokenizer(answer, add_special_tokens=False)["input_ids"])
    shortest = min(map(len, prompts))
    shared = next((i for i in range(shortest) if len({prompt[i] for prompt in prompts}) > 1), shortest)
    shared = min(shared, shortest - 1)  # an answer's first token is predicted from a token of its own prompt
    return prompts[0][:shared], [Example(p[shared:], a) for p, a in zip(prompts, answers, strict=True)]


def _padded(tokens: int) -> int:
    """A width for so many tokens: one of few, since for every new one the CPU library makes code that it keeps."""
    return -(-tokens // _WIDTHS) * _WIDTHS


def batches(examples: Sequence[Example], settings: Settings) -> list[list[int]]:
    """The conversations of each step: of like length, so that little is computed for padding; in random order."""
    rng = random.Random(settings.seed)
    steps: list[list[int]] = []
    for number in range(math.ceil(settings.epochs)):
        # A little noise, so that no two epochs put the same ones together.
        order = sorted(range(len(examples)), key=lambda i: len(examples[i]) * rng.uniform(0.95, 1.05))
        epoch: list[list[int]] = []
        for i in order:
            longest = _padded(max(len(examples[i]), *(len(examples[j]) for j in epoch[-1]))) if epoch else 0
            if epoch and longest * (len(epoch[-1]) + 1) <= settings.batch_tokens:
                epoch[-1].append(i)
            else:
                epoch.append([i])
        rng.shuffle(epoch)
        steps += epoch[: max(1, round(len(epoch) * min(1.0, settings.epochs - number)))]
    return steps


def _train(model: Any, prefix: list[int], examples: list[Example], job: Job, state: Path) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model

    settings = job.settings
    torch.manual_seed(settings.seed)
    lora = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, target_modules=_MODULES, lora_dropout=0.0, task_type="CAUSAL_LM"
    )
    tuned = get_peft_model(model, lora, autocast_adapter_dtype=False).train()
    weights = [p for p in tuned.parameters() if p.requires_grad]
    # In bfloat16 a small step would be rounded away: the optimizer works on a copy in 32 bits.
    exact = [p.detach().float().clone() for p in weights]
    optimizer = torch.optim.AdamW(exact, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    steps = batches(examples, settings)
    hopeless = 1.5 * math.log(model.config.vocab_size)  # to guess blindly costs its logarithm
    begin = _resume(state, exact, weights, optimizer)
    begun = saved = time.monotonic()
    for number, step in enumerate(steps[begin:], begin):
        share = (number + 1) / len(steps)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, share / _WARM_UP) * (1 - share + 1 / len(steps))
        loss = _loss(tuned, prefix, [examples[i] for i in step])
        loss.backward()
        _update(optimizer, exact, weights)
        if not (value := loss.item()) < hopeless:  # so that NaN is hopeless, too
            raise BibleQAError(
                f"the tuning has diverged: after {number} of {len(steps)} steps the loss is {value:.1f}, worse than "
                "guessing; lower optimizer.learning_rate"
            )
        left = (time.monotonic() - begun) / (number + 1 - begin) * (len(steps) - number - 1)
        _say(step=number + 1, of=len(steps), loss=round(value, 4), seconds_left=round(left))
        if time.monotonic() - saved > job.save_every:
            saved = time.monotonic()
            _save(state, number + 1, exact, optimizer)
    return tuned


def _loss(tuned: Any, prefix: list[int], examples: Sequence[Example]) -> "torch.Tensor":
    """Mean cross-entropy of the answers' tokens, in nats."""
    import torch
    from transformers import DynamicCache

    body, head = tuned.base_model.model.model, tuned.base_model.model.lm_head
    width = _padded(max(map(len, examples)))
    # Padding stands at the end, where nothing that counts attends to it.
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    labels = torch.full((len(examples), width), -100)
    for row, example in enumerate(examples):
        ids[row, : len(example)] = torch.tensor(example.prompt + example.answer)
        labels[row, len(example.prompt) : len(example)] = torch.tensor(example.answer)
    ids, labels = ids.to(tuned.device), labels.to(tuned.device)
    cache = DynamicCache()
    if prefix:
        body(input_ids=torch.tensor([prefix], device=tuned.device), past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(len(examples))
    hidden = body(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state
    wanted = labels[:, 1:] != -100
    logits = head(hidden[:, :-1][wanted])  # the vocabulary is large: only where there is something to predict
    return torch.nn.functional.cross_entropy(logits.float(), labels[:, 1:][wanted])


def _update(optimizer: Any, exact: list[Any], weights: list[Any]) -> None:
    import torch

    for copy, weight in zip(exact, weights, strict=True):
        copy.grad, weight.grad = weight.grad.float(), None
    torch.nn.utils.clip_grad_norm_(exact, 1.0)
    optimizer.step()
    for copy, weight in zip(exact, weights, strict=True):
        weight.data.copy_(copy)


def _save(path: Path, step: int, exact: list[Any], optimizer: Any) -> None:
    import torch

    with _writing(path), runs.replacing(path) as draft:
        torch.save({"step": step, "weights": exact, "optimizer": optimizer.state_dict()}, draft)


def _resume(path: Path, exact: list[Any], weights: list[Any], optimizer: Any) -> int:
    """Go on from a saved state, if there is one; returns the steps that are done."""
    import torch

    if not path.exists():
        return 0
    saved = torch.load(path, weights_only=True, map_location=weights[0].device)
    for copy, weight, value in zip(exact, weights, saved["weights"], strict=True):
        copy.data.copy_(value)
        weight.data.copy_(value)
    optimizer.load_state_dict(saved["optimizer"])
    step: int = saved["step"]
    return step


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    try:
        yield path
    except (OSError, RuntimeError) as error:  # torch's writer knows only the latter
        raise BibleQAError(f"cannot write {path} ({_in_one_line(error)}): is the disk full?") from error


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _end_with_stdin() -> None:
    while os.read(0, 1024):  # past sys.stdin, whose lock the interpreter may want when it ends
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        main(Path(sys.argv[1]))
    except BibleQAError as error:
        sys.exit(str(error))
    except Exception as error:
        traceback.print_exc()
        raise SystemExit(f"{type(error).__name__}: {_in_one_line(error)}") from error  # torch ends with a stack of C++
