"""What is left of runs that are killed, and what the same command makes of it.

    python benchmarks/kills.py --kills 200

kills runs of every kind at random moments, some of them several times before they may end, each in a fresh project
against the scripted server of the tests. After each kill everything on disk is read; then the same command is run to
its end, and compared with one that nobody disturbed.
"""

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import count, cycle
from pathlib import Path
from threading import Lock
from typing import Any

import psutil
import yaml
from runs import ROOT

sys.path.insert(0, str(ROOT / "tests"))
import fake_openai
from fake_openai import MODEL, Server, slow
from project import Folder, Project, end
from test_experiment import learner, project_at

from bibleqa import databases
from bibleqa.runs import Lines, read_lines

THREADS = 2
"""Questions that a run asks at once."""
LONGEST = 300.0
MOST_IN_A_ROW = 8
_MAIN = "import sys; from bibleqa import cli; sys.exit(cli.main())"

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of command.

    Attributes:
        command: Of run.py, or of bibleqa where `ready` has made what it is about.
        ready: Makes what it needs, undisturbed; what it returns is added to the command.
        bibleqa: Whether it is a command of bibleqa's.
        at_once: Calls that may be under way when it is killed.
        anew: Whether it starts over when it has ended.
        rare: Whether it takes a minute, so that it is killed half as often.
    """

    command: tuple[str, ...]
    ready: Callable[[Project], tuple[str, ...]] = lambda project: ()
    bibleqa: bool = False
    at_once: int = THREADS
    rare: bool = False
    anew: bool = False


def _run_once(project: Project) -> tuple[str, ...]:
    _must(end(project.start("optimizer=labeled", f"endpoint.threads={THREADS}"), LONGEST))
    return ()


def _run_to_replay(project: Project) -> tuple[str, ...]:
    _run_once(project)
    return (f"reproduce={project.last.path}", "reproduce.mode=replay")


def _run_untracked(project: Project) -> tuple[str, ...]:
    """One whose tracker was down, and is not any more."""
    store = project.root / "store"
    store.write_text("A file where the tracker's folder should be.")
    _must(end(project.start("optimizer=labeled", "tracking=server", f"tracking.uri=sqlite:///{store}/mlflow.db")))
    store.unlink()
    store.mkdir()
    return ("track", str(project.last.path))


_SMALL = "optimizer.max_bootstrapped_demos=2", "optimizer.max_labeled_demos=2"
KINDS = {
    "none": Kind(("optimizer=none",)),
    "bootstrap": Kind(("optimizer=bootstrap", "tracking=local")),
    "mipro": Kind(
        ("optimizer=mipro", "optimizer.budget=null", "optimizer.num_candidates=2", "optimizer.num_trials=3", *_SMALL)
    ),
    "gepa": Kind(("optimizer=gepa", "optimizer.max_metric_calls=20")),
    "better_together": Kind(("optimizer=better_together", 'optimizer.strategy="bootstrap -> copro"')),
    "rerun": Kind(("optimizer=labeled", "rerun=true"), _run_once, anew=True),
    "replay": Kind((), _run_to_replay),
    "sweep": Kind(
        ("-m", "optimizer=none,labeled", "assertions=none,grounded", "hydra.launcher.n_jobs=2"),
        at_once=2 * THREADS,
        rare=True,
    ),
    "data build": Kind(("data", "build", "dataset=kjv"), bibleqa=True, at_once=0, rare=True),
    "track": Kind((), _run_untracked, bibleqa=True, at_once=0),
}


@dataclass(frozen=True)
class Calm:
    """What a command does that nobody disturbs."""

    seconds: float
    results: Results
    paid: Counter[str]


@dataclass
class Case:
    """One command, killed some times and then left in peace."""

    kind: str
    seed: int
    kills: list[float] = field(default_factory=list)
    """Seconds after which it was killed."""
    unreadable: list[str] = field(default_factory=list)
    """What could not be read after a kill."""
    crashed: list[str] = field(default_factory=list)
    """Commands that did not bear what the kills had left."""
    unequal: list[str] = field(default_factory=list)
    """What differs from the undisturbed results."""
    paid_twice: int = 0
    """Calls beyond those under way when it was killed."""
    paid_again: int = 0
    """Calls that were under way, and were asked again."""


@contextmanager
def place() -> Iterator[tuple[Project, Server]]:
    """A fresh project, and its server."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, fake_openai.running(learner) as server:
        server.faults = [slow(0.05)]
        yield project_at(Path(folder) / "project", server), server


def start(kind: Kind, project: Project, given: tuple[str, ...]) -> subprocess.Popen[str]:
    """Start the command."""
    if kind.bibleqa:
        return bibleqa(project, *kind.command, *given)
    return project.start(*kind.command, *given, *(() if given else (f"endpoint.threads={THREADS}",)))


def bibleqa(project: Project, *arguments: str) -> subprocess.Popen[str]:
    """Start a command of bibleqa's."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "-c", _MAIN, *arguments], cwd=project.root, env=project.environment(), **pipes
    )


def undisturbed(kind: Kind) -> Calm:
    """Run a command to its end."""
    with place() as (project, server):
        given = kind.ready(project)
        server.requests.clear()
        begun = time.perf_counter()
        _must(end(start(kind, project, given), LONGEST))
        seconds = time.perf_counter() - begun
        return Calm(seconds, results(project), paid(server))


def disturbed(name: str, seed: int, most: int, calm: Calm) -> Case:
    """Kill a command up to so many times, and then run it to its end."""
    kind, case, draw = KINDS[name], Case(name, seed), random.Random(f"{name} {seed}")
    with place() as (project, server):
        given = kind.ready(project)
        server.requests.clear()
        earlier, over = len(project.folders), False
        while not over and len(case.kills) < most:
            after = draw.uniform(0.1, 0.9) * calm.seconds
            over = not kill(start(kind, project, given), after, everyone=draw.random() < 0.5)
            case.kills += [] if over else [round(after, 3)]
            case.unreadable += unreadable(project.root)
            over = over or (kind.anew and _ended(project, earlier))
        asked = paid(server)
        # Without --fix the same command must go on as well; but only it makes up for what MLflow has missed.
        tracked = "tracking=local" in kind.command
        fix = ["--fix"] if tracked or seed % 2 else []
        tracking = f"tracking={'local' if tracked else 'none'}"
        doctor = ["doctor", *fix, *_ENDPOINT, tracking, f"endpoint.base_url={server.base_url}"]
        # Exit code 2: there is no finished run yet; 1: there is something to repair.
        for command, fine in ((["leaderboard"], (0, 2)), (doctor, (0,) if fix else (0, 1))):
            looked = end(bibleqa(project, *command), LONGEST)
            if "Traceback" in looked.err or looked.code not in fine:
                case.crashed.append(f"{command[0]}: exit {looked.code} {looked.out[-500:]} {looked.err[-500:]}")
        looked_at = paid(server) - asked
        finished = None if over else end(start(kind, project, given), LONGEST)
        if finished and finished.code and "is recorded already" not in finished.err:
            case.crashed.append(f"{name}: exit {finished.code} {finished.out[-500:]} {finished.err[-500:]}")
        case.unreadable += unreadable(project.root)
        case.unequal = different(results(project), calm.results)
        again = paid(server) - looked_at - calm.paid
        extra = sum(again.values())
        case.paid_twice = max(0, extra - kind.at_once * len(case.kills))
        case.paid_again = extra - case.paid_twice
    return case


def _ended(project: Project, earlier: int) -> bool:
    """Whether a run has ended since there were so many."""
    return any((folder.path / "summary.json").exists() for folder in project.folders[earlier:])


_ENDPOINT = ["endpoint=openai", f"endpoint.model={MODEL}", "dataset=jsonl"]
_ENDPOINT += [f"dataset.{split}={split}.jsonl" for split in ("train", "val", "test")]


def kill(process: subprocess.Popen[str], after: float, everyone: bool) -> bool:
    """SIGKILL a command that long after its start, alone or with all that it has started; False if it has ended."""
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=after)
        return False
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in family if everyone else family[:1]:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGKILL)
    process.communicate()
    psutil.wait_procs(family, timeout=LONGEST)  # what was spared ends by itself
    return process.returncode == -signal.SIGKILL


def unreadable(root: Path) -> list[str]:
    """Files under their names that cannot be read; what begins with a dot and is no known place was being written."""
    return [f"{path.relative_to(root)}: {problem}" for path in _files(root) if (problem := _problem(path))]


def _files(root: Path) -> Iterator[Path]:
    for folder in (root / "outputs", root / "data", *root.glob("*.db"), *root.glob("store/*.db")):
        for path in folder.rglob("*") if folder.is_dir() else [folder]:
            below = path.relative_to(root).parts
            drafts = [part for part in below if part.startswith(".") and part not in _PLACES]
            # Hydra's own files are written one after the other before a run begins, which config.yaml is the sign of.
            begun = path.parent.name != ".hydra" or (path.parents[1] / "config.yaml").exists()
            if path.is_file() and begun and not drafts:
                yield path


_PLACES = {".cache", ".composed", ".finished", ".sweeps", ".hydra", ".adapters"}


def _problem(path: Path) -> str | None:
    try:
        if path.name == "manifest.json":
            for name, digest in json.loads(path.read_text(encoding="utf-8"))["sha256"].items():
                if hashlib.sha256((path.parent / name).read_bytes()).hexdigest() != digest:
                    return f"{name} is another file"
        elif path.suffix == ".json" or path.parent.name == ".composed":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".jsonl":
            list(read_lines(path))
        elif path.suffix == ".yaml" and yaml.safe_load(path.read_text(encoding="utf-8")) is None:
            return "empty"
        elif path.suffix in (".db", ".sqlite"):
            return databases.damage(path)
        elif path.suffix == ".png" and not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
            return "half a picture"
        elif path.parent.name == ".finished":
            json.loads((path.parents[2] / path.read_text() / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def results(project: Project) -> Results:
    """All that a command is run for: scores, predictions and programs of the finished runs and the last one, data."""
    found: dict[str, Any] = {}
    pointers = [*project.root.glob("outputs/.finished/[!.]*")]
    ended = [folder for folder in project.folders if (folder.path / "summary.json").is_file()]
    for folder in [*(Folder(project.root / pointer.read_text()) for pointer in pointers), *ended[-1:]]:
        summary = folder.summary
        told = [summary[key] for key in ("status", "program_digest", "baseline", "optimized", "improvement", "val")]
        found[f"{summary['fingerprint']} {bool(summary['reproduced_from'])}"] = (told, folder.answers())
    for path in project.root.glob("data/processed/*/*"):
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    if (store := project.root / "data" / "corpus.sqlite").is_file():
        found[store.name] = hashlib.sha256(store.read_bytes()).hexdigest()
    for store in project.root.glob("**/mlflow.db"):
        if recorded := _recorded(store):
            found["MLflow"] = recorded
    return found


def _recorded(store: Path) -> list[str]:
    """The runs that MLflow has whole: each fingerprint as often as it is there, and what it scored."""
    fingerprint, score = (
        f"(SELECT value FROM {table} WHERE run_uuid = runs.run_uuid AND key = '{key}')"
        for table, key in (("tags", "fingerprint"), ("latest_metrics", "optimized.score"))
    )
    whole = "runs WHERE status = 'FINISHED' AND lifecycle_stage = 'active'"
    return sorted(map(str, databases.rows(store, whole, f"{fingerprint}, {score}")))


def different(one: Results, other: Results) -> list[str]:
    """What two results do not agree on."""
    return [
        f"{key}: {one.get(key)} and {other.get(key)}"[:500] for key in {*one, *other} if one.get(key) != other.get(key)
    ]


def paid(server: Server) -> Counter[str]:
    """How often each thing was asked, the probes apart."""
    asked = [json.dumps(request.body, sort_keys=True) for request in server.chats]
    return Counter(body for body in asked if "built the ark" not in body)


def _must(finished: Any) -> None:
    if finished.code:
        sys.exit(f"undisturbed, it failed: {finished.out}{finished.err}")


def cases(kinds: Sequence[str], begin: int) -> Iterator[tuple[str, int, int]]:
    """Cases of these kinds in turn, from that number on: kind, number, and kills in a row at the most."""
    turns = cycle([*kinds, *(name for name in kinds if not KINDS[name].rare)])
    for number in count():
        name = next(turns)
        if number >= begin:
            yield name, number, random.Random(number).randint(1, MOST_IN_A_ROW)


def table(done: list[Case]) -> str:
    """Markdown, a row a kind."""
    lines = [
        "| kind | commands | kills | unreadable | crashed | unequal results | in flight, paid again | paid twice |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    of_kind = {name: [case for case in done if case.kind == name] for name in KINDS}
    for name, some in [*of_kind.items(), ("**all**", done)]:
        if some:
            numbers = [
                len(some),
                sum(len(case.kills) for case in some),
                *(sum(bool(getattr(case, what)) for case in some) for what in ("unreadable", "crashed", "unequal")),
                *(sum(getattr(case, what) for case in some) for what in ("paid_again", "paid_twice")),
            ]
            lines.append(f"| {name} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def kill_all(kinds: Sequence[str], begin: int, kills: int, at_once: int, kept: Path) -> list[Case]:
    """Kill so many times, a few more where the last cases have more; what came of each case is added to a file."""
    done: list[Case] = []
    with ThreadPoolExecutor(at_once) as pool:
        calm = dict(zip(kinds, pool.map(lambda name: undisturbed(KINDS[name]), kinds), strict=True))
        for name, one in calm.items():
            print(f"{name}: {one.seconds:.1f} s undisturbed", flush=True)
        waiting, lock, lines = cases(kinds, begin), Lock(), Lines(kept)

        def work() -> None:
            while True:
                with lock:
                    if sum(len(case.kills) for case in done) >= kills:
                        return
                    name, number, most = next(waiting)
                case = disturbed(name, number, most, calm[name])
                with lock:
                    done.append(case)
                    lines.add(json.dumps(asdict(case)))
                    print(asdict(case), flush=True)

        for worker in [pool.submit(work) for _ in range(at_once)]:
            worker.result()
    return done


def main() -> None:
    """Kill, and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--only", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--at-once", type=int, default=2, help="commands at a time")
    parser.add_argument("--anew", action="store_true", help="forget the kills of earlier times")
    arguments = parser.parse_args()
    kept = Path(__file__).with_suffix(".jsonl")
    if arguments.anew:
        kept.unlink(missing_ok=True)
    done = [Case(**row) for row in read_lines(kept)] if kept.exists() else []
    if (missing := arguments.kills - sum(len(case.kills) for case in done)) > 0:
        done += kill_all(arguments.only, len(done), missing, arguments.at_once, kept)
    print(table(done))


if __name__ == "__main__":
    main()
