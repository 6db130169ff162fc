"""Prints a Markdown table of the medians of a file of `name rate` lines, and of the ratios of Sayso to its peers."""

import collections
import statistics
import sys

PAIRS = [
    ("rendering at 64x64, views/s", "ours.render", "fetch_reach.render"),
    ("stepping with 64x64 pixels, env steps/s", "ours.step_with_pixels", "fetch_reach.step_with_pixels"),
    ("PPO on CartPole, env steps/s", "ours.ppo_steps", "sb3.ppo_steps"),
    ("CLIP ViT-B/32 at batch 32, images/s, against torch", "ours.clip_b32_images", "torch.clip_b32_images"),
    ("the same against ONNX Runtime", "ours.clip_b32_images", "onnx.clip_b32_images"),
]


def main() -> None:
    rates = collections.defaultdict(list)
    with open(sys.argv[1], encoding="utf-8") as lines:
        for line in lines:
            name, _, rate = line.strip().partition(" ")
            try:
                rates[name].append(float(rate))
            except ValueError:
                continue
    print("| measurement | Sayso | peer | ratio |\n|---|---|---|---|")
    for what, ours, peer in PAIRS:
        if rates[ours] and rates[peer]:
            a, b = statistics.median(rates[ours]), statistics.median(rates[peer])
            print(f"| {what} | {a:,.0f} | {b:,.0f} | {a / b:.2f} |")


if __name__ == "__main__":
    main()
