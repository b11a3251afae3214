"""`bibleqa doctor`: whether everything that a run needs is there, one line each, with what to do where it is not."""

import importlib.metadata
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from packaging.requirements import Requirement

from bibleqa import artifacts, config, repair, tracking
from bibleqa.console import out
from bibleqa.errors import BibleQAError, EndpointUnusable
from bibleqa.schema import Config


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    text: str
    failure: BibleQAError | None = None


def main(overrides: Sequence[str], fix: bool = False) -> int:
    """Check what `python run.py <overrides>` would need; the exit code is that of the first failure.

    Args:
        overrides: As for run.py.
        fix: Whether what an unclean death has left is repaired.
    """
    failures: list[BibleQAError] = []
    for finding in _examine(config.compose(overrides), fix):
        mark = "[red]wrong[/]" if finding.failure else "[green]ok[/]   "
        out.print(f"{mark} {finding.name:<10}", end=" ")
        out.print(finding.text, markup=False)
        if finding.failure:
            failures.append(finding.failure)
    return failures[0].exit_code if failures else 0


def _examine(config: Config, fix: bool) -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} on {platform.platform(terse=True)}, {sys.prefix}")
    yield from _files(fix)
    checks: dict[str, Callable[[Config], str]] = {
        "packages": _packages,
        "model": _model,
        "endpoint": _endpoint,
        "dataset": _dataset,
        "tracking": _tracking,
    }
    for name, check in checks.items():
        try:
            yield Finding(name, check(config))
        except BibleQAError as error:
            yield Finding(name, str(error), error)


def _files(fix: bool) -> Iterator[Finding]:
    """What an unclean death has left, a line each."""
    at_work = repair.at_work()
    found = 0
    for damage in repair.find(at_work):
        found += 1
        if not fix:
            text = f"{damage.text}: bibleqa doctor --fix repairs it"
            yield Finding("files", text, BibleQAError(text))
            continue
        try:
            yield Finding("files", damage.repair())
        except (BibleQAError, OSError) as error:
            text = f"{damage.text}, and cannot be repaired: {error}"
            yield Finding("files", text, BibleQAError(text))
    if not found:
        said = "in order"
        if at_work:
            said += "; a run is at work, what it may be using was not looked at"
        elif killed := repair.killed():
            said += f"; {killed} runs were killed, the same commands go on with them"
        yield Finding("files", said)


def _packages(config: Config) -> str:
    """Whether the installed packages are those that the project asks for."""
    wanted = [Requirement(text) for text in importlib.metadata.requires("bibleqa") or []]
    extra = "embedded" if config.endpoint.kind == "embedded" else ""
    needed = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": extra})]
    for requirement in needed:
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            raise BibleQAError(f"{requirement.name} is missing: pip install -e .[{extra or 'dev'}]") from None
        if not requirement.specifier.contains(version, prereleases=True):
            raise BibleQAError(f"{requirement.name} is {version}, wanted {requirement.specifier}: make setup")
    installed = []
    for name in ("dspy", "hydra-core", "mlflow", "xllamacpp"):
        with suppress(importlib.metadata.PackageNotFoundError):
            installed.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(installed)


def _model(config: Config) -> str:
    if config.endpoint.kind != "embedded":
        return f"{config.endpoint.model}, on the endpoint"
    from bibleqa.lm import embedded

    embedded.digest(config.endpoint)
    artifact = embedded.MODELS[config.endpoint.model]
    place = artifacts.path_of(artifact)
    if artifacts.is_present(artifact):
        return str(place)
    return f"{artifact.filename} is not there yet: {artifact.size / 1e6:.0f} MB are fetched on first use, to {place}"


def _endpoint(config: Config) -> str:
    """Ask one question as a run would, and time it."""
    import dspy
    from dspy.utils.exceptions import DSPyError

    from bibleqa import adapters, formats
    from bibleqa import program as programs
    from bibleqa.lm import endpoints

    lm = endpoints.connect(config.endpoint, cache=False)
    health = endpoints.probe(config.endpoint, lm)
    told: list[str] = []
    config = formats.settled(config, tell=told.append)
    begun = time.perf_counter()
    with adapters.watched() as readings, dspy.context(lm=lm, adapter=adapters.build(config.adapter)):
        try:
            answer = programs.of_config(config)(
                context="[Genesis 5:6] And Seth lived an hundred and five years, and begat Enos:",
                question="Who begat Enos?",
                history=dspy.History(messages=[]),
            ).answer
        except DSPyError as error:
            raise EndpointUnusable(
                f"{config.endpoint.model} does not answer in the {config.adapter.name} format "
                f"({' '.join(str(error).split())[:150]}): try adapter=auto"
            ) from None
    seconds = time.perf_counter() - begun
    also = f"; loaded until then: {', '.join(health.loaded_before)}" if health.loaded_before else ""
    also += f"; the server has {', '.join(health.models[:5])}" if health.models else ""
    also += "".join(f"; {line}" for line in told)
    if any(reading.salvaged for reading in readings):
        also += f"; it does not keep to the {config.adapter.name} format: try adapter=auto"
    return f"{config.endpoint.model} answers {answer!r} in {seconds:.1f} s, first answer {health.seconds:.1f} s{also}"


def _dataset(config: Config) -> str:
    from bibleqa.data import slices

    dataset = slices.load(config.dataset, config.corpus)
    counts = ", ".join(f"{len(items)} {name}" for name, items in dataset.splits.items())
    return f"{config.dataset.name}: {counts}, digest {dataset.digest[:12]}"


def _tracking(config: Config) -> str:
    runs = tracking.count_runs(config.tracking)
    return "nothing is tracked" if runs is None else f"{tracking.uri(config.tracking)}: {runs} runs"
