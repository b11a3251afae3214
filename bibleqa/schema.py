"""The typed config of every group.

A dataclass here is the whole truth about its group: names, types, ranges, what a key is for and whether it can
change a result. The YAML files under conf/ choose values; what they choose is checked against this.
"""

import dataclasses
import functools
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
                if one is not None and one not in rules["choices"]:
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
        choices=("embedded", "openai", "lmstudio", "ollama", "vllm", "llamacpp"),
    )
    model: str = key(MISSING, "Model as the endpoint calls it.")
    adapter: str | None = key(
        # The path cannot change a result; what the file holds is in the digest of the model.
        None,
        "LoRA adapter over an embedded model: the adapter.gguf of a run folder; in the fingerprint by its digest.",
        affects_result=False,
    )
    base_url: str | None = key(None, "Address of the server, up to /v1.", affects_result=False)
    api_key_env: str | None = key(None, "Name of the environment variable that holds the key.", affects_result=False)
    temperature: float = key(0.0, "0 takes the likeliest word each time.", ge=0, le=2)
    max_tokens: int = key(256, "Longest answer, in tokens.", ge=1)
    timeout: float = key(120.0, "Seconds to wait for an answer.", ge=1, affects_result=False)
    retries: int = key(8, "Further tries when an answer fails to arrive.", ge=0, affects_result=False)
    pause_after: int = key(
        5,
        "Failures in a row, whoever asks, after which nobody asks until a probe is answered.",
        ge=1,
        affects_result=False,
    )
    patience: float = key(
        300.0,
        "Seconds that an endpoint which has answered before is waited for when it is away.",
        ge=0,
        affects_result=False,
    )
    input_price: float | None = key(None, "Of a million tokens asked, in your money.", ge=0, affects_result=False)
    output_price: float | None = key(None, "Of a million tokens answered.", ge=0, affects_result=False)
    seed: int = key(0, "Seed of the sampling, where the endpoint takes one.", ge=0)
    threads: int | None = key(
        None,
        "Questions asked at once (empty: 8); for an embedded model, CPU threads (empty: one a physical core).",
        ge=1,
    )
    dialect: str | None = key(
        None,
        "A kind of server of your own: <module>.<name> of a Dialect, the module listed in plugins (empty: by kind).",
    )
    response_schema: bool = key(True, "Whether the endpoint can be held to a JSON schema.")

    @property
    def at_once(self) -> int:
        """How many questions are asked at once: an embedded model answers one at a time."""
        return 1 if self.kind == "embedded" else self.threads or 1


@dataclass
class ProgramConfig:
    """The DSPy program that answers."""

    name: str = key(
        MISSING,
        "predict: answer at once; chain_of_thought: reason first; retrieve_then_answer: find verses first.",
        choices=("predict", "chain_of_thought", "retrieve_then_answer"),
    )

    @property
    def retrieves(self) -> bool:
        """Whether it finds verses for a question that comes without any."""
        return self.name == "retrieve_then_answer"


@dataclass
class RetrieverConfig:
    """How verses are found for a question without context: by retrieve_then_answer, and by ask, chat and serve."""

    name: str = key(
        MISSING,
        "fts: full-text search; embeddings: by meaning; hybrid: both together.",
        choices=("fts", "embeddings", "hybrid"),
    )
    k: int = key(5, "Verses found for a question; those that it names are all looked up.", ge=1, le=100)
    model: str | None = key(
        None, "sentence-transformers model by name or folder (empty: endpoint@embedder, else all-MiniLM-L6-v2)."
    )

    @property
    def embeds(self) -> bool:
        """Whether it compares meanings."""
        return self.name != "fts"


@dataclass
class AdapterConfig:
    """How a signature is written for the model, and its answer read."""

    name: str = key(
        MISSING,
        "Markup of fields: chat headers, JSON or XML tags; auto: what the model keeps to best.",
        choices=("chat", "json", "xml", "auto"),
    )


@dataclass
class OptimizerConfig:
    """What improves the program; the base of every optimizer's own keys."""

    name: str = key(MISSING, "Name of the optimizer.")


@dataclass
class LabeledConfig(OptimizerConfig):
    """LabeledFewShot: train questions with their reference answers as demos."""

    k: int = key(8, "Demos in the prompt.", ge=1)


@dataclass
class KnnConfig(OptimizerConfig):
    """KNN: for each question, the train questions worded most like it as demos."""

    k: int = key(3, "Demos in the prompt.", ge=1)


@dataclass
class BootstrapConfig(OptimizerConfig):
    """BootstrapFewShot: demos out of the program's own right answers on train, filled up with labeled ones."""

    max_bootstrapped_demos: int = key(4, "Demos made from right answers.", ge=0)
    max_labeled_demos: int = key(4, "Demos in all, filled up with reference answers.", ge=0)
    max_rounds: int = key(1, "Tries at each question.", ge=1)
    metric_threshold: float | None = key(
        None, "Score from which an answer counts as right (empty: 1; needed with a graded metric).", ge=0, le=1
    )


@dataclass
class BootstrapRandomSearchConfig(BootstrapConfig):
    """BootstrapFewShotWithRandomSearch: several sets of demos, the best on val is kept."""

    # DSPy draws the number of demos from 1 to this.
    max_bootstrapped_demos: int = key(4, "Demos made from right answers.", ge=1)
    num_candidate_programs: int = key(4, "Random sets beside the three fixed candidates.", ge=0)
    stop_at_score: float | None = key(None, "Stop early at this score on val (0 to 1).", ge=0, le=1)


@dataclass
class CoproConfig(OptimizerConfig):
    """COPRO: instructions rewritten by a language model, those that do best on train rewritten again."""

    breadth: int = key(3, "Instructions tried in each round.", ge=2)
    depth: int = key(2, "Rounds.", ge=1)
    init_temperature: float = key(1.0, "Temperature at which they are written.", ge=0, le=2)


BUDGETS = ("light", "medium", "heavy")


@dataclass
class MiproConfig(OptimizerConfig):
    """MIPROv2: instructions and demos together, by Bayesian search over their combinations on val."""

    budget: str | None = key("light", "How much is tried; or give num_candidates and num_trials.", choices=BUDGETS)
    num_candidates: int | None = key(None, "Instructions and sets of demos to choose among; wants budget=null.", ge=2)
    num_trials: int | None = key(None, "Combinations measured; wants budget=null.", ge=1)
    max_bootstrapped_demos: int = key(4, "Demos made from right answers.", ge=0)
    max_labeled_demos: int = key(4, "Demos in all, filled up with reference answers.", ge=0)
    metric_threshold: float | None = key(
        None, "Score from which an answer counts as right (empty: 1; needed with a graded metric).", ge=0, le=1
    )
    seed: int = key(9, "Seed of the search (DSPy takes 0 for 9).", ge=1)


@dataclass
class GepaConfig(OptimizerConfig):
    """GEPA: instructions rewritten in the light of what the metric said of wrong answers."""

    budget: str | None = key(None, "How much is tried; or give max_metric_calls.", choices=BUDGETS)
    max_metric_calls: int | None = key(240, "Answers scored in all; wants budget=null.", ge=1)
    reflection_minibatch_size: int = key(3, "Answers that each rewriting is told about.", ge=1)
    seed: int = key(0, "Seed of the search.", ge=0)


@dataclass
class SimbaConfig(OptimizerConfig):
    """SIMBA: rules and demos out of the questions whose answers differ most from try to try."""

    bsize: int = key(16, "Train questions of a step.", ge=2)
    num_candidates: int = key(3, "Programs made and tries at each question, in a step.", ge=1)
    max_steps: int = key(2, "Steps.", ge=1)
    max_demos: int = key(2, "Demos in the prompt at the most.", ge=0)
    seed: int = key(0, "Seed of the search.", ge=0)


@dataclass
class InferRulesConfig(BootstrapConfig):
    """InferRules: rules that a language model reads out of train questions, added to the instructions."""

    num_candidates: int = key(4, "Sets of rules tried on val.", ge=1)
    num_rules: int = key(6, "Rules asked for in a set.", ge=1)
    max_examples: int = key(16, "Train questions that the rules are read out of: they must fit the context.", ge=1)


@dataclass
class FinetuneConfig(OptimizerConfig):
    """BootstrapFinetune: the weights of an embedded model, by LoRA."""

    source: str = key(
        "labels",
        "labels: the reference answers of train; teacher: a teacher's right answers; both.",
        choices=("labels", "teacher", "both"),
    )
    max_examples: int | None = key(1000, "Train questions learned from (empty: all); not bound to max_train.", ge=1)
    max_traces: int | None = key(200, "Train questions that the teacher is asked (empty: all of max_examples).", ge=1)
    metric_threshold: float | None = key(
        None, "Score from which a teacher's answer is learned (empty: 1; needed with a graded metric).", ge=0, le=1
    )
    exclude_demos: bool = key(True, "Whether the tuned program does without the demos of earlier steps.")
    epochs: float = key(1.0, "Times that each question is learned.", ge=0.01)
    learning_rate: float = key(5e-4, "Of AdamW, after a short rise; it falls to 0.", ge=1e-7, le=1)
    rank: int = key(16, "Rank of the adapter.", ge=1, le=256)
    alpha: int = key(32, "Scale of the adapter, which the rank divides.", ge=1)
    batch_tokens: int = key(1000, "Tokens of a step: more is a little faster and takes more memory.", ge=64)
    seed: int = key(0, "Seed of the adapter's beginning and of the order.", ge=0)


@dataclass
class BetterTogetherConfig(OptimizerConfig):
    """BetterTogether: several optimizers one after the other, prompts and weights."""

    strategy: str = key("p -> w", 'Steps or optimizers, with " -> " between them.')
    steps: dict[str, Any] = key({}, "Steps by the name the strategy has for them: an optimizer's name and keys.")
    seed: int = key(0, "Seed of the order of train, which is shuffled before each step.", ge=0)


@dataclass
class EnsembleConfig(OptimizerConfig):
    """Ensemble: the best candidates of an optimizer answer, and the majority decides."""

    size: int = key(3, "Programs that answer.", ge=2)
    of: dict[str, Any] = key({}, "The optimizer whose candidates they are: its name and keys.")


@dataclass
class OwnOptimizerConfig(OptimizerConfig):
    """An optimizer of your own: a function of a module that the command line lists in plugins."""

    function: str = key(MISSING, "<module>.<function>, called with (student, task, **parameters), giving the program.")
    parameters: dict[str, Any] = key({}, "What it is called with besides, by name.")
    calls: int | None = key(None, "LM calls that it makes at the most, for plan=true.", ge=0, affects_result=False)


@dataclass
class TermConfig:
    """A critical term: a word of the original languages that an answer must not miss."""

    strongs: str = key(MISSING, "Strong's number, unpadded.")
    forms: list[str] = key([], "What counts as naming it, beside the number.")


@dataclass
class MetricConfig:
    """How an answer is scored."""

    name: str = key(
        MISSING,
        "Name of the metric.",
        choices=("contains", "exact_match", "token_f1", "theological", "semantic", "judge", "weighted"),
    )


@dataclass
class ContainsConfig(MetricConfig):
    """The reference answer stands in the answer."""

    slack_words: int = key(6, "Words an answer may be longer than the reference answer.", ge=0)


@dataclass
class TheologicalConfig(ContainsConfig):
    """As contains, and every critical term of the reference answer is named."""

    terms: dict[str, TermConfig] = key({}, "Critical terms by name.")


@dataclass
class SemanticConfig(MetricConfig):
    """The answer means what an accepted answer means, by the vectors of an embedder."""

    threshold: float = key(0.5, "Cosine similarity from which an answer counts as right.", ge=-1, le=1)


@dataclass
class JudgeConfig(MetricConfig):
    """A language model says whether the answer is right."""

    rubric: str = key(MISSING, "What the judge is told.")
    partly: float = key(0.5, "What a partly right answer is worth.", ge=0, le=1)


@dataclass
class WeightedConfig(MetricConfig):
    """Several metrics in one."""

    parts: dict[str, Any] = key(
        {}, "Weight of each metric by its name; or {weight: …} with the keys of its own that shall differ."
    )


@dataclass
class OwnMetricConfig(MetricConfig):
    """A metric of your own: a function of a module that the command line lists in plugins."""

    name: str = key(MISSING, "Name of the metric.")
    function: str = key(
        MISSING, "<module>.<function>, called with (example, answer, **parameters), giving 0 to 1, or (0 to 1, why)."
    )
    parameters: dict[str, Any] = key({}, "What it is called with besides, by name.")


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
    families: list[str] = key([], "Question families of your own: modules that the command line lists in plugins.")
    context: str = key(
        "verse",
        "verse: what the question needs; passage: two verses around it besides; interlinear: the original words; "
        "none: nothing, it must be found.",
        choices=("verse", "passage", "interlinear", "none"),
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
class FeedbackConfig(DatasetConfig):
    """Questions whose answers people found right or corrected."""

    test: str | None = key(None, "JSONL file to report on (empty: the hand-written questions).", affects_result=False)
    minimum: int = key(10, "Questions that are needed, those near the test not counted.", ge=2, affects_result=False)


@dataclass
class CorpusConfig:
    """Where the sources of the corpus store are, beside the installed English texts."""

    sword_path: str | None = key(None, "Folder of SWORD modules (empty: the usual places).")
    stepbible_path: str | None = key(None, "Folder of a STEPBible-Data download.")
    max_rejects: float = key(0.001, "Share of a source's rows that may be unreadable.", ge=0, le=1)


@dataclass
class AssertionsConfig:
    """Checks that an answer must pass; a failed hard one is fed back and the question asked again."""

    name: str = key(MISSING, "Name of the set.", affects_result=False)
    checks: dict[str, Any] = key({}, "Checks by name, each with its parameters.")
    attempts: int = key(3, "Times a question is asked at the most.", ge=1)
    temperature: float = key(0.7, "Temperature of the further attempts.", ge=0, le=2)


@dataclass
class LimitsConfig:
    """What a run may spend; at a limit it stops, and goes on from there when the limit is higher."""

    calls: int | None = key(None, "Calls of language models, those from the cache not counted.", ge=1)
    tokens: int | None = key(None, "Tokens, asked and answered.", ge=1)
    seconds: float | None = key(None, "Time from the start to the end.", ge=1)
    cost: float | None = key(None, "Money, by endpoint.input_price and output_price.", ge=0)


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
class ReproduceConfig:
    """The past run that a run repeats; `reproduce=<run>` on the command line sets it."""

    run: str | None = key(None, "Its folder.")
    mode: str = key(
        "rerun",
        "rerun: ask the model again; replay: its recorded answers, no model; evaluate: only score its program.",
        choices=("rerun", "replay", "evaluate"),
    )


@dataclass
class Config:
    """One run."""

    endpoint: EndpointConfig = MISSING
    program: ProgramConfig = MISSING
    retriever: RetrieverConfig = MISSING
    adapter: AdapterConfig = MISSING
    optimizer: OptimizerConfig = MISSING
    metric: MetricConfig = MISSING
    dataset: DatasetConfig = MISSING
    assertions: AssertionsConfig = MISSING
    tracking: TrackingConfig = dataclasses.field(default=MISSING, metadata={"affects_result": False})
    # What comes out of it is known by the digest of the dataset.
    corpus: CorpusConfig = dataclasses.field(default_factory=CorpusConfig, metadata={"affects_result": False})
    limits: LimitsConfig = dataclasses.field(default_factory=LimitsConfig, metadata={"affects_result": False})
    teacher: EndpointConfig | None = key(None, "Model that an optimizer learns from.")
    judge: EndpointConfig | None = key(None, "Model that judges answers.")
    embedder: EndpointConfig | None = key(
        None, "Model that turns texts into vectors, for metric=semantic and retriever=embeddings or hybrid."
    )
    target_accuracy: float = key(0.95, "The score to reach on test.", ge=0, le=1)
    plugins: list[str] = key([], "Modules that code of your own may be taken from; no other is imported.")
    rerun: bool = key(False, "Ask the model again even where the answers are known.", affects_result=False)
    plan: bool = key(False, "Show what would be run and what it may cost, and spend nothing.", affects_result=False)
    retry_failed: bool = key(True, "Whether a sweep runs jobs again that have failed in it.", affects_result=False)
    # What comes of it, a small slice, is in the other keys.
    fast: bool = key(False, "Cut the slices to a handful of questions, to try a config.", affects_result=False)
    reproduce: ReproduceConfig = dataclasses.field(default_factory=ReproduceConfig, metadata={"affects_result": False})


GROUPS = tuple(field.name for field in dataclasses.fields(Config) if field.default is MISSING)
"""The groups of conf/ that make a run."""

HELPERS = ("teacher", "judge", "embedder")
"""The further models that a run may ask, each an option of the group endpoint: `endpoint@judge=lm_studio`."""


OF_THE_COMMAND = ("rerun", "reproduce", "plan", "retry_failed", "fast", "plugins", "limits")
"""Keys that a run does not hand on to who reproduces it: for the command line alone to say, above all what code is
imported."""


def endpoints(config: Config) -> dict[str, EndpointConfig]:
    """The endpoints of a run by their key, the one that answers first."""
    named = {name: getattr(config, name) for name in ("endpoint", *HELPERS)}
    return {name: endpoint for name, endpoint in named.items() if isinstance(endpoint, EndpointConfig)}


_SCHEMAS: dict[str, type] = {
    "endpoint": EndpointConfig,
    "program": ProgramConfig,
    "retriever": RetrieverConfig,
    "adapter": AdapterConfig,
    "assertions": AssertionsConfig,
    "tracking": TrackingConfig,
    "optimizer/none": OptimizerConfig,
    "optimizer/labeled": LabeledConfig,
    "optimizer/knn": KnnConfig,
    "optimizer/bootstrap": BootstrapConfig,
    "optimizer/bootstrap_random_search": BootstrapRandomSearchConfig,
    "optimizer/copro": CoproConfig,
    "optimizer/mipro": MiproConfig,
    "optimizer/gepa": GepaConfig,
    "optimizer/simba": SimbaConfig,
    "optimizer/infer_rules": InferRulesConfig,
    "optimizer/finetune": FinetuneConfig,
    "optimizer/better_together": BetterTogetherConfig,
    "optimizer/ensemble": EnsembleConfig,
    "optimizer/own": OwnOptimizerConfig,
    "metric/exact_match": MetricConfig,
    "metric/token_f1": MetricConfig,
    "metric/contains": ContainsConfig,
    "metric/theological": TheologicalConfig,
    "metric/semantic": SemanticConfig,
    "metric/judge": JudgeConfig,
    "metric/weighted": WeightedConfig,
    "metric/own": OwnMetricConfig,
    "dataset/built": BuiltConfig,
    "dataset/translation_questions": TranslationQuestionsConfig,
    "dataset/jsonl": JsonlConfig,
    "dataset/feedback": FeedbackConfig,
}


def of(option: str) -> type:
    """The schema of an option of a group (`metric/judge`), of all options of the group, or of the user's own ones.

    Raises:
        KeyError: There is none.
    """
    group = option.partition("/")[0]
    return _SCHEMAS.get(option) or _SCHEMAS.get(group) or _SCHEMAS[f"{group}/own"]


@functools.cache
def register() -> None:
    """Make the schemas known to Hydra: the run's as `run_schema`, a group's as `/schema/<path>`."""
    store = ConfigStore.instance()
    store.store(name="run_schema", node=Config)
    for path, node in _SCHEMAS.items():
        group, _, option = f"schema/{path}".rpartition("/")
        store.store(group=group, name=option, node=node)
