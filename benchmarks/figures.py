"""What the benchmarks of single figures share: how a command is timed, and how a figure is shown and kept."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from runs import ROOT, put


@dataclass(frozen=True)
class Spent:
    """What a command took."""

    seconds: float
    cpu: float
    """Seconds of processor, its own and those of the processes that it waited for."""
    memory: float
    """MB that it held at the most."""


def spent(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Spent:
    """Run a command to its end; one that fails, but for a wrong config, ends the benchmark."""
    with tempfile.TemporaryFile("w+") as said:
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=environment or os.environ, cwd=ROOT, stdout=said, stderr=said)
        memory = 0
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            memory = max(memory, psutil.Process(process.pid).memory_info().rss)  # rusage has this process's as well
            time.sleep(0.01)
        _, status, usage = ended
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 2):
            said.seek(0)
            sys.exit(f"{' '.join(command)}: exit code {process.returncode}\n{said.read()}")
    return Spent(seconds, usage.ru_utime + usage.ru_stime, memory / 1e6)


def best(command: Sequence[str], environment: Mapping[str, str] | None = None, times: int = 3) -> Spent:
    """The quickest of some times: what else the machine does makes a command slower and never faster."""
    return min((spent(command, environment) for _ in range(times)), key=lambda one: one.seconds)


@dataclass(frozen=True)
class Figure:
    """A row of a benchmark's table."""

    name: str
    value: float
    unit: str
    beside: str = ""
    """What the same run measured to compare it with."""
    aim: float | None = None
    """What it should be at the most."""

    @property
    def row(self) -> str:
        """Of Markdown."""
        aim = "" if self.aim is None else f"< {self.aim:g}{', missed' * (self.value >= self.aim)}"
        digits = 0 if self.value >= 100 or self.value == int(self.value) else 2
        return f"| {self.name} | {self.value:,.{digits}f} {self.unit} | {self.beside} | {aim} |"


def show(script: str, figures: Iterable[Figure]) -> None:
    """Print a table, and keep it row by row: beside the script with commit and processors, and in its page."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    table, rows = ["| what | measured | beside it | aim |", "|---|---|---|---|"], []
    print(*table, sep="\n")
    for figure in figures:
        print(figure.row, flush=True)
        table.append(figure.row)
        rows.append(json.dumps(asdict(figure) | {"commit": commit, "cpus": os.cpu_count()}))
        Path(script).with_suffix(".jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
        put("\n".join(table), f"benchmarks/{Path(script).name}")
