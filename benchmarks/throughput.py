"""How fast questions are asked and scored, beside other evaluators and beside nothing but HTTP.

    python benchmarks/throughput.py

asks a scripted server that answers after 50 ms 1,000 questions, 8, 32 and 64 at once, by each contestant in turn, and
prints a table in Markdown: of each the fastest of four runs. What was found is kept beside this file. inspect_ai and
promptfoo are installed, pinned, into folders of their own; one that cannot be is said to be missing.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runs import ROOT, Rows, put, read, running

sys.path.insert(0, str(ROOT / "benchmarks" / "contestants"))
from measure import QUESTION

from bibleqa import artifacts, provenance

CONTESTANTS = ROOT / "benchmarks" / "contestants"
LATENCY = 0.05
KEPT = Path(__file__).with_suffix(".jsonl")
INSPECT = ("inspect-ai==0.3.285", "openai==3.54.0")
PROMPTFOO = "promptfoo@0.120.0"
"""The last one for Node 20."""


class Missing(Exception):
    """A contestant that cannot be had here."""


@dataclass(frozen=True)
class Contestant:
    """Somebody who evaluates.

    Attributes:
        name: In the table.
        command: Gives the beginning of the command, after installing what it needs.
        more: What comes after server, concurrency and number of questions.
    """

    name: str
    command: Callable[[], list[str]]
    more: Callable[[], list[str]] = list


def _here(script: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, str(CONTESTANTS / script)]


def _inspect() -> list[str]:
    place = _peers() / "-".join(INSPECT)
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not _is_whole(place):
        venv.create(place, with_pip=True, clear=True)
        _install(place, [str(python), "-m", "pip", "install", "-q", *INSPECT])
    return [str(python), str(CONTESTANTS / "inspect_task.py")]


def _promptfoo() -> list[str]:
    place = _peers() / PROMPTFOO
    if not _is_whole(place):
        place.mkdir(parents=True, exist_ok=True)
        _install(place, ["npm", "install", "--prefix", str(place), "--no-audit", "--no-fund", "--silent", PROMPTFOO])
    return ["node", str(CONTESTANTS / "promptfoo.mjs")]


def _peers() -> Path:
    return artifacts.cache_folder() / "peers"


def _is_whole(place: Path) -> bool:
    return (place / "whole").exists()


def _install(place: Path, command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Missing(f"cannot be installed: {error}") from error
    (place / "whole").touch()


RAW = "HTTP alone (aiohttp)"
ALL = (
    Contestant(RAW, _here("raw_http.py")),
    Contestant("bibleqa", _here("bibleqa_evaluator.py")),
    Contestant("bibleqa, nothing kept", _here("bibleqa_evaluator.py"), lambda: ["bare"]),
    Contestant("dspy.Evaluate", _here("dspy_evaluate.py")),
    Contestant("inspect_ai", _inspect),
    Contestant("promptfoo", _promptfoo, lambda: [str(_peers() / PROMPTFOO), QUESTION]),
)


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--at-once", type=int, nargs="+", default=[8, 32, 64])
    parser.add_argument("--runs", type=int, default=4, help="of each, the fastest counts")
    parser.add_argument("--only", nargs="+", default=[one.name for one in ALL], help="beside HTTP alone")
    parser.add_argument("--table", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    if not arguments.table:
        chosen = [one for one in ALL if one.name in (RAW, *arguments.only)]
        found = _measure(chosen, arguments.at_once, arguments.examples, arguments.runs)
        KEPT.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    made = _table(read(KEPT))
    print(made)
    put(made, "benchmarks/throughput.py")


def _measure(contestants: list[Contestant], at_once: list[int], examples: int, runs: int) -> Rows:
    about = {"examples": examples, "latency": LATENCY, "cpus": os.cpu_count(), "git": provenance.git_state()}
    commands = dict(_ready(contestants))
    rows = []
    with running("benchmarks/scripted_server.py", str(LATENCY)) as address:
        for number in at_once:
            for one in contestants:
                if one.name in commands:
                    asked = [*commands[one.name], address, str(number), str(examples), *one.more()]
                    best = min((_run(one.name, asked, examples) for _ in range(runs)), key=lambda took: took["seconds"])
                    rows.append({"name": one.name, "at_once": number, **best, **about, "load": os.getloadavg()[0]})
                    print(f"{one.name}, {number} at once: {best['seconds']:.2f} s", file=sys.stderr, flush=True)
    return rows


def _ready(contestants: list[Contestant]) -> Iterator[tuple[str, list[str]]]:
    for one in contestants:
        try:
            yield one.name, one.command()
        except Missing as missing:
            print(f"{one.name} {missing}", file=sys.stderr)


def _run(name: str, command: list[str], examples: int) -> dict[str, Any]:
    # Nothing of the user's that one of them might send its questions through, or write its settings to.
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "PROMPTFOO_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(ROOT)}
    environment |= {"PROMPTFOO_DISABLE_UPDATE": "1", "PROMPTFOO_CONFIG_DIR": str(_peers() / "promptfoo")}
    environment |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{name}: {ended.stderr or ended.stdout}")
    took: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    if round(took["right"]) != examples:
        sys.exit(f"{name}: {took['right']} of {examples} answers are right: not what was to be measured")
    return took


def _table(rows: Rows) -> str:
    at_once = list(dict.fromkeys(row["at_once"] for row in rows))
    floor = {row["at_once"]: row["seconds"] for row in rows if row["name"] == RAW}
    lines = [
        f"| {rows[0]['examples']:,} questions, {LATENCY * 1000:g} ms each | "
        + " | ".join(f"{number} at once" for number in at_once)
        + " | CPU, ms a question | peak memory, MB |",
        "|---|" + "---|" * (len(at_once) + 2),
        "| the latency alone | " + " | ".join(f"{rows[0]['examples'] * LATENCY / n:.2f} s" for n in at_once) + " | | |",
    ]
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = [row for row in rows if row["name"] == name]
        cells = [f"{row['seconds']:.2f} s ({row['seconds'] / floor[row['at_once']]:.2f})" for row in mine]
        cpu = max(row["cpu"] / row["examples"] * 1000 for row in mine)
        cells += [f"{cpu:.1f}", f"{max(row['megabytes'] for row in mine):.0f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
