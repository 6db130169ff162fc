"""Prints the table of a policy that reads in Markdown, from the summary of the run that reading.sh trained."""

import json
import sys
from math import sqrt
from pathlib import Path

summary = json.loads(Path(sys.argv[1]).read_text())


def rate(when: str, of: list[dict]) -> str:
    """The rate over all episodes with some instructions, and its 95% interval (Wilson 1927)."""
    rates = [instruction[when] for instruction in of if instruction[when]]
    met, n = sum(one["n_success"] for one in rates), sum(one["n_episodes"] for one in rates)
    p, z = met / n, 1.959964
    centre, spread = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
    return f"{100 * p:.1f}% ({100 * low:.1f} to {100 * high:.1f}) of {n}"


print("| wordings | untrained | trained, 95% interval |\n|---|---|---|")
for name, is_held_out in (("read in training", False), ("held out", True)):
    of = [instruction for instruction in summary["instructions"] if instruction["is_held_out"] == is_held_out]
    print(f"| {name}, {len(of)} sentences | {rate('before', of)} | {rate('after', of)} |")
print(f"\n{summary['n_steps']:,} steps, {summary['training_secs']:.0f} s of training, seed {summary['seed']}.")
