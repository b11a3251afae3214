"""What sets of checks do to the unoptimized program, for real: the second table in the README.

    python benchmarks/assertions.py

As benchmarks/optimizers.py; what was found is kept in benchmarks/assertions.jsonl.
"""

from runs import Rows, main

RUNS = {name: ["optimizer=none", f"assertions={name}"] for name in ("none", "grounded", "strict")}


def table(rows: Rows) -> str:
    """Markdown."""
    lines = [
        "| assertions | score | passed at first | passed in the end | asked again | output tokens |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        rates = row["assertions"].items()
        first = ", ".join(f"{name} {rate['pass_rate_first']:.0%}" for name, rate in rates)
        final = ", ".join(f"{name} {rate['pass_rate_final']:.0%}" for name, rate in rates)
        lines.append(
            f"| {row['name']} | {row['baseline']['score']:.1%} | {first} | {final} "
            f"| {row['attempts']['baseline']['extra_calls']} times | {row['lm']['output_tokens']:,} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main(__file__, RUNS, table)
