"""What comes of a run whose endpoint misbehaves, whatever it does, however often: the table in docs/faults.md.

    python benchmarks/faults.py

Every fault at every rate in runs of every kind, against the scripted server of the tests (12 test, 6 train and 4 val
questions, an answer in 10 ms, four at once); what was found is kept in benchmarks/faults.jsonl. And the endpoint that
is away for a minute in the middle of a run:

    python benchmarks/faults.py --outage 60
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from faulty_runs import FAULTS, KINDS, RATES, Case, Run, certified, happens, project, run

HERE = Path(__file__).parent
KEPT = HERE / "faults.jsonl"
PAGE = HERE.parent / "docs" / "faults.md"
MARK = "<!-- benchmarks/faults.py -->"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="benchmarks/faults.py")
    parser.add_argument("--outage", type=float, help="seconds: only this, once")
    parser.add_argument("--table", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if arguments.outage:
        print(outage(arguments.outage))
        return
    if not arguments.table:
        measure()
    rows = [json.loads(line) for line in KEPT.read_text(encoding="utf-8").splitlines()]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARK)
    after = rest.partition(MARK)[2]
    PAGE.write_text(f"{before}{MARK}\n{table(rows)}\n{MARK}{after}", encoding="utf-8")
    print(table(rows))


AT_ONCE = 4
"""Cases: they wait most of the time."""


def measure() -> None:
    """Make all the runs, each kind's undisturbed one at the same time as the others' too."""
    cases = [Case(fault, rate, kind) for fault in FAULTS for rate in RATES for kind in KINDS]
    with ProcessPoolExecutor(AT_ONCE) as pool, KEPT.open("w", encoding="utf-8") as kept:
        calm = dict(zip(KINDS, pool.map(undisturbed, KINDS), strict=True))
        for row in pool.map(measured, cases, [calm[case.kind] for case in cases]):
            kept.write(json.dumps(row) + "\n")
            print(f"{row['fault']}, {row['rate']:.0%}, {row['kind']}: {row['what']}", flush=True)


def measured(case: Case, calm: Run) -> dict[str, Any]:
    """What came of a case, as a line of the file."""
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name, certified(Path(name)) as tls, quiet():
        came = happens(case, Path(name) / "project", tls, calm)
    return {
        **vars(case),
        "what": came.what,
        "requests": came.first.requests + (came.then.requests if came.then else 0),
        "calm_requests": calm.requests,
        "lost": came.lost,
        "wrong": came.wrong,
        "unequal": came.unequal,
        "seconds": round(came.first.seconds, 2),
        "calm_seconds": round(calm.seconds, 2),
    }


def undisturbed(kind: str) -> Run:
    """The second of two runs, each in a project of its own: the first pays for imports."""
    for _ in range(2):
        with tempfile.TemporaryDirectory() as root, quiet(), project(Path(root)) as server:
            made = run(Path(root), server, kind)
    return made


class quiet:
    """What runs say goes nowhere."""

    def __enter__(self) -> None:
        self._out = os.dup(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        os.dup2(self._out, 1)
        os.close(self._out)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line for each fault and rate, a column for each kind of run."""
    lines = [f"| fault | rate | {' | '.join(KINDS)} |", f"|---|---|{'---|' * len(KINDS)}"]
    found = {(row["fault"], row["rate"], row["kind"]): row for row in rows}
    for fault in FAULTS:
        for rate in RATES:
            cells = [_cell(found[fault, rate, kind]) for kind in KINDS]
            lines.append(f"| {fault} | {rate:.0%} | {' | '.join(cells)} |")
    totals = {name: sum(row[name] for row in rows) for name in ("lost", "wrong")}
    lines += ["", f"{len(rows)} cases: {totals['lost']} answers lost, {totals['wrong']} errors scored as answers."]
    return "\n".join(lines)


def _cell(row: dict[str, Any]) -> str:
    times = row["seconds"] / row["calm_seconds"]
    other = f", {row['unequal']} other answers" if row["unequal"] else ""
    return f"{row['what']}; {row['requests']} requests for {row['calm_requests']}; {times:.1f} times as long{other}"


def outage(seconds: float) -> str:
    """An endpoint that is not there for so long, in the middle of a run."""
    calm = undisturbed("bootstrap")
    with tempfile.TemporaryDirectory() as root, quiet(), project(Path(root)) as server:
        server.faults = [FAULTS["refused"](spares=20, times=1)]
        server.faults[0].leaves = seconds
        begun = time.monotonic()
        made = run(Path(root), server, "bootstrap", f"endpoint.patience={seconds * 2:g}")
    same = "equal" if made.answers == calm.answers else "NOT equal"
    return (
        f"away for {seconds:g} s: exit {made.code} after {time.monotonic() - begun:.0f} s "
        f"(undisturbed {calm.seconds:.1f} s), {len(made.answers)} answers {same} to those of the undisturbed run, "
        f"{max(made.paid.values()) - 1} paid twice"
    )


if __name__ == "__main__":
    main()
