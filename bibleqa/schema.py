"""The typed config of every group.

A dataclass here is the whole truth about its group: names, types, ranges, what a key is for and whether it can
change a result. The YAML files under conf/ choose values; what they choose is checked against this.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


def key(
    default: Any,
    help: str,
    *,
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] = (),
    affects_result: bool = True,
) -> Any:
    """A config key.

    Args:
        default: Its value when no YAML and no override says otherwise.
        help: One line for the reference.
        ge: The smallest value allowed.
        le: The largest value allowed.
        choices: The values allowed.
        affects_result: False for what cannot change an answer or a score; it stays out of the fingerprint.
    """
    metadata = {"help": help, "ge": ge, "le": le, "choices": choices, "affects_result": affects_result}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check_range(node: Any, prefix: str = "") -> Iterator[str]:
    """Complaints of values that their keys do not allow, each naming key, value and what is allowed."""
    for field in dataclasses.fields(node):
        name, value, rules = f"{prefix}{field.name}", getattr(node, field.name), field.metadata
        if dataclasses.is_dataclass(value):
            yield from check_range(value, f"{name}.")
        elif rules.get("choices"):
            for one in value if isinstance(value, list) else [value]:
                if one not in rules["choices"]:
                    yield f"{name}={one}: not one of {', '.join(rules['choices'])}"
        elif isinstance(value, dict):
            yield from (p for k, v in value.items() for p in _check_number(f"{name}.{k}", v, rules))
        else:
            yield from _check_number(name, value, rules)


def _check_number(name: str, value: Any, rules: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(value, (int, float)):
        low, high = rules.get("ge"), rules.get("le")
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{name}={value}: must be a finite number"
        elif (low is not None and not value >= low) or (high is not None and not value <= high):
            allowed = f"from {low} to {high}" if high is not None else f"{low} or more"
            yield f"{name}={value}: must be {allowed}"


@dataclass
class EndpointConfig:
    """The language model and where it runs."""

    name: str = key(MISSING, "Name of the option.", affects_result=False)
    kind: str = key(
        "openai",
        "embedded: inside this process; else the dialect of an OpenAI-compatible server.",
        choices=("embedded", "openai", "lmstudio", "ollama", "vllm"),
    )
    model: str = key(MISSING, "Model as the endpoint calls it.")
    base_url: str | None = key(None, "Address of the server, up to /v1.", affects_result=False)
    api_key_env: str | None = key(None, "Name of the environment variable that holds the key.", affects_result=False)
    temperature: float = key(0.0, "0 takes the likeliest word each time.", ge=0, le=2)
    max_tokens: int = key(256, "Longest answer, in tokens.", ge=1)
    timeout: float = key(120.0, "Seconds to wait for an answer.", ge=1, affects_result=False)
    retries: int = key(3, "Further tries when an answer fails to arrive.", ge=0, affects_result=False)
    seed: int = key(0, "Seed of the sampling, where the endpoint takes one.", ge=0)
    threads: int | None = key(
        None,
        "Questions asked at once; for an embedded model, CPU threads (empty: chosen for the machine).",
        ge=1,
    )
    response_schema: bool = key(True, "Whether the endpoint can be held to a JSON schema.")


@dataclass
class ProgramConfig:
    """The DSPy program that answers."""

    name: str = key(
        MISSING,
        "predict: answer at once; chain_of_thought: reason first.",
        choices=("predict", "chain_of_thought"),
    )


@dataclass
class AdapterConfig:
    """How a signature is written for the model, and its answer read."""

    name: str = key(MISSING, "Markup of fields: chat headers, JSON or XML tags.", choices=("chat", "json", "xml"))


@dataclass
class OptimizerConfig:
    """What improves the program; the base of every optimizer's own keys."""

    name: str = key(MISSING, "Name of the optimizer.")


@dataclass
class LabeledConfig(OptimizerConfig):
    """LabeledFewShot: train questions with their reference answers as demos."""

    k: int = key(8, "Demos in the prompt.", ge=1)


@dataclass
class BootstrapConfig(OptimizerConfig):
    """BootstrapFewShot: demos out of the program's own right answers on train, filled up with labeled ones."""

    max_bootstrapped_demos: int = key(4, "Demos made from right answers.", ge=0)
    max_labeled_demos: int = key(4, "Demos in all, filled up with reference answers.", ge=0)
    max_rounds: int = key(1, "Tries at each question.", ge=1)
    metric_threshold: float = key(1.0, "Score from which an answer counts as right.", ge=0, le=1)


@dataclass
class BootstrapRandomSearchConfig(BootstrapConfig):
    """BootstrapFewShotWithRandomSearch: several sets of demos, the best on val is kept."""

    # DSPy draws the number of demos from 1 to this.
    max_bootstrapped_demos: int = key(4, "Demos made from right answers.", ge=1)
    num_candidate_programs: int = key(4, "Random sets beside the three fixed candidates.", ge=0)
    stop_at_score: float | None = key(None, "Stop early at this score on val (0 to 1).", ge=0, le=1)


@dataclass
class TermConfig:
    """A critical term: a word of the original languages that an answer must not miss."""

    strongs: str = key(MISSING, "Strong's number, unpadded.")
    forms: list[str] = key([], "What counts as naming it, beside the number.")


@dataclass
class MetricConfig:
    """How an answer is scored."""

    name: str = key(MISSING, "Name of the metric.", choices=("contains", "exact_match", "token_f1", "theological"))


@dataclass
class ContainsConfig(MetricConfig):
    """The reference answer stands in the answer."""

    slack_words: int = key(6, "Words an answer may be longer than the reference answer.", ge=0)


@dataclass
class TheologicalConfig(ContainsConfig):
    """As contains, and every critical term of the reference answer is named."""

    terms: dict[str, TermConfig] = key({}, "Critical terms by name.")


@dataclass
class DatasetConfig:
    """Which questions, and how many of them."""

    name: str = key(MISSING, "Name of the dataset.")
    max_train: int | None = key(64, "Questions for the optimizer to learn from (empty: all).", ge=1)
    max_val: int | None = key(32, "Questions for the optimizer to choose by (empty: all).", ge=1)
    max_test: int | None = key(80, "Questions for the two reported scores (empty: all).", ge=1)
    types: list[str] = key([], "Question families (empty: all that open_book allows).")
    books: list[str] = key([], "Books of the Bible (empty: all).")
    open_book: bool | None = key(True, "true: the context has the answer; false: closed-book questions; empty: both.")
    seed: int = key(0, "Seed of the slice.", ge=0)


@dataclass
class BuiltConfig(DatasetConfig):
    """Questions built from the text and the corpus store, and hand-written anchor questions for the test."""

    builds: list[str] = key(
        ["kjv"], "Built datasets it draws from.", choices=("kjv", "strongs", "stepbible", "translations", "multi_turn")
    )
    context: str = key(
        "verse",
        "verse: what the question needs; passage: two verses around it besides; interlinear: the original words.",
        choices=("verse", "passage", "interlinear"),
    )
    weights: dict[str, float] = key({}, "Share of a question family against the others, each 1 unless said.", ge=0)
    anchor_share: float = key(0.4, "Share of the test slice that is hand-written.", ge=0, le=1)


@dataclass
class TranslationQuestionsConfig(DatasetConfig):
    """unfoldingWord's translation questions, from the user's own download."""

    folder: str = key(MISSING, "Folder of the tq_*.tsv files.", affects_result=False)


@dataclass
class JsonlConfig(DatasetConfig):
    """The user's own questions."""

    train: str = key(MISSING, "JSONL file to learn from.", affects_result=False)
    val: str = key(MISSING, "JSONL file to choose by.", affects_result=False)
    test: str = key(MISSING, "JSONL file to report on.", affects_result=False)


@dataclass
class CorpusConfig:
    """Where the sources of the corpus store are, beside the installed English texts."""

    sword_path: str | None = key(None, "Folder of SWORD modules (empty: the usual places).")
    stepbible_path: str | None = key(None, "Folder of a STEPBible-Data download.")
    max_rejects: float = key(0.001, "Share of a source's rows that may be unreadable.", ge=0, le=1)


@dataclass
class AssertionsConfig:
    """Checks that an answer must pass; a failed one is fed back and the question asked again."""

    name: str = key(MISSING, "Name of the set.", affects_result=False)
    checks: dict[str, Any] = key({}, "Checks by name, each with its parameters.")
    attempts: int = key(3, "Times a question is asked at the most.", ge=1)
    temperature: float = key(0.7, "Temperature of the further attempts.", ge=0, le=2)


@dataclass
class TrackingConfig:
    """Where MLflow keeps the record."""

    name: str = key(
        MISSING,
        "local: SQLite beside the project; server: a tracking server; none.",
        choices=("local", "server", "none"),
    )
    uri: str | None = key(None, "Address of the tracking server.")
    experiment: str = key("bibleqa", "MLflow experiment that holds the runs.")


@dataclass
class Config:
    """One run."""

    endpoint: EndpointConfig = MISSING
    program: ProgramConfig = MISSING
    adapter: AdapterConfig = MISSING
    optimizer: OptimizerConfig = MISSING
    metric: MetricConfig = MISSING
    dataset: DatasetConfig = MISSING
    assertions: AssertionsConfig = MISSING
    tracking: TrackingConfig = dataclasses.field(default=MISSING, metadata={"affects_result": False})
    # What comes out of it is known by the digest of the dataset.
    corpus: CorpusConfig = dataclasses.field(default_factory=CorpusConfig, metadata={"affects_result": False})
    target_accuracy: float = key(0.95, "The score to reach on test.", ge=0, le=1)
    rerun: bool = key(False, "Ask the model again even where the answers are known.", affects_result=False)
    reproduced_from: str | None = key(None, "The run that this one repeats; set by reproduce=.", affects_result=False)


GROUPS = tuple(field.name for field in dataclasses.fields(Config) if field.default is MISSING)
"""The groups of conf/ that make a run."""

_SCHEMAS: dict[str, type] = {
    "endpoint": EndpointConfig,
    "program": ProgramConfig,
    "adapter": AdapterConfig,
    "assertions": AssertionsConfig,
    "tracking": TrackingConfig,
    "optimizer/none": OptimizerConfig,
    "optimizer/labeled": LabeledConfig,
    "optimizer/bootstrap": BootstrapConfig,
    "optimizer/bootstrap_random_search": BootstrapRandomSearchConfig,
    "metric/exact_match": MetricConfig,
    "metric/token_f1": MetricConfig,
    "metric/contains": ContainsConfig,
    "metric/theological": TheologicalConfig,
    "dataset/built": BuiltConfig,
    "dataset/translation_questions": TranslationQuestionsConfig,
    "dataset/jsonl": JsonlConfig,
}


def register() -> None:
    """Make the schemas known to Hydra: the run's as `run_schema`, a group's as `/schema/<path>`."""
    store = ConfigStore.instance()
    store.store(name="run_schema", node=Config)
    for path, node in _SCHEMAS.items():
        group, _, option = f"schema/{path}".rpartition("/")
        store.store(group=group, name=option, node=node)
