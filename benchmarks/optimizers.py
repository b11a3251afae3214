"""Every optimizer on the default dataset, for real: a table of docs/guide/optimizers.md, and in short of the README.

    python benchmarks/optimizers.py                    # what is missing, then the table
    python benchmarks/optimizers.py --only gepa --again gepa
    python benchmarks/optimizers.py --table            # the table alone

Each is a whole run of its own on the embedded model; BetterTogether on the tiny one, too. The runs and the answers
they paid for are kept in outputs/benchmarks/, what they found in benchmarks/optimizers.jsonl. All share one
measurement of the baseline, which the first one pays for.
"""

from pathlib import Path

from runs import Rows, main, put, read

RUNS = {
    "none": ["optimizer=none"],
    "labeled": ["optimizer=labeled"],
    "knn": ["optimizer=knn"],
    "bootstrap": ["optimizer=bootstrap"],
    "bootstrap_random_search": ["optimizer=bootstrap_random_search"],
    "ensemble": ["optimizer=ensemble"],
    "infer_rules": ["optimizer=infer_rules"],
    "copro": ["optimizer=copro"],
    "mipro": ["optimizer=mipro"],
    "gepa": ["optimizer=gepa"],
    "simba": ["optimizer=simba"],
    "finetune": ["optimizer=finetune"],
    "better_together": ["optimizer=better_together"],
    "better_together, tiny model": ["optimizer=better_together", "endpoint=embedded_tiny"],
}

IN_SHORT = ("none", "bootstrap", "mipro", "gepa", "finetune", "better_together", "better_together, tiny model")


def table(rows: Rows) -> str:
    """Markdown."""
    lines = [
        "| optimizer | baseline | optimized | difference, 95 % interval | on val | LM calls | minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    notes: list[str] = []
    for row in rows:
        before, after, change, val = row["baseline"], row["optimized"], row["improvement"], row["val"]
        # Weights that an earlier run has tuned are not tuned again: their time counts here all the same.
        seconds = row["seconds"]["total"] + max(0, row["tuning_seconds"] - row["seconds"]["optimize"])
        low, high = change["ci95"]
        on_val = f"{val['baseline']:.1%} → {val['optimized']:.1%}" if val else ""
        mark = ""
        if row["optimizer_errors"]:
            mark = "¹²³⁴⁵⁶⁷⁸⁹"[len(notes)]
            notes.append(f"{mark} {'; '.join(row['optimizer_errors'])}.")
        lines.append(
            f"| {row['name']}{mark} | {before['score']:.1%} | {after['score']:.1%} "
            f"| {change['value']:+.1%} ({low:+.1%} to {high:+.1%}) | {on_val} "
            f"| {row['lm']['calls']:,} | {seconds / 60:.1f} |"
        )
    return "\n".join([*lines, *(f"\n{note}" for note in notes)])


if __name__ == "__main__":
    main(__file__, RUNS, table)
    found = read(Path(__file__).with_suffix(".jsonl"))
    put(table([row for row in found if row["name"] in IN_SHORT]), "benchmarks/optimizers.py, in short")
