"""Prints the tables of training results in Markdown, from the summaries of the runs that trainings.sh trained."""

import json
import statistics
import sys
from pathlib import Path

FOLDER = Path(sys.argv[1])
COLOURS, SEEDS = ("red", "green", "blue"), (0, 1, 2)


def summary(name: str) -> dict:
    return json.loads((FOLDER / name / "summary.json").read_text())


def target(run: dict) -> dict:
    return next(goal for goal in run["goals"] if goal["is_target"])


def percent(rate: dict) -> str:
    return f"{100 * rate['rate']:.1f}%"


def secs(name: str) -> str:
    """Seconds of the whole command; unknown for a run that was interrupted."""
    path = FOLDER / f"{name}.secs"
    return f"{path.read_text().strip()} s" if path.exists() else "interrupted"


runs = {(colour, seed): summary(f"{colour}-{seed}") for colour in COLOURS for seed in SEEDS}
print("Success on the named ball after training, and the time of the command:\n")
print("| goal prompt | untrained | " + " | ".join(f"seed {seed}" for seed in SEEDS) + " |")
print("|---|---|" + "---|" * len(SEEDS))
for colour in COLOURS:
    before = sorted(target(runs[colour, seed])["before"]["rate"] for seed in SEEDS)
    cells = [f"{percent(target(runs[colour, seed])['after'])} ({secs(f'{colour}-{seed}')})" for seed in SEEDS]
    print(f'| "{runs[colour, 0]["goal_prompts"][0]}" | {100 * before[0]:.1f} to {100 * before[-1]:.1f}% | {" | ".join(cells)} |')

named = [target(run)["after"]["rate"] for run in runs.values()]
others = [goal["after"]["rate"] for run in runs.values() for goal in run["goals"] if not goal["is_target"]]
rates = [run["n_steps"] / run["training_secs"] for run in runs.values()]
print(f"\nNamed ball: median {100 * statistics.median(named):.1f}%, least {100 * min(named):.1f}%. ", end="")
print(f"Other balls: at most {100 * max(others):.1f}%. ", end="")
print(f"Training: {min(rates):.0f} to {max(rates):.0f} env steps/s, median {statistics.median(rates):.0f}.\n")

print("| run | steps | untrained | trained, 95% interval | others at most | time |\n|---|---|---|---|---|---|")
for name in ("go-to", "cart-pole"):
    run = summary(name)
    goal = target(run)
    low, high = goal["after"]["interval"]
    rest = [other["after"]["rate"] for other in run["goals"] if not other["is_target"]]
    worst = f"{100 * max(rest):.1f}%" if rest else "–"
    after = f"{percent(goal['after'])} ({100 * low:.1f} to {100 * high:.1f})"
    print(f"| {run['env_id']} | {run['n_steps']:,} | {percent(goal['before'])} | {after} | {worst} | {secs(name)} |")
