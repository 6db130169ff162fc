"""Images per second of `transformers`' CLIP ViT-B/32 image tower on torch, random weights, batch 32, two threads."""

import time

import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

BATCH = 32
SECONDS = 4.0


def main() -> None:
    torch.set_num_threads(2)
    model = CLIPVisionModelWithProjection(CLIPVisionConfig()).eval()
    pixels = torch.randn(BATCH, 3, 224, 224)
    with torch.inference_mode():
        for _ in range(2):
            model(pixel_values=pixels)
        n_batches, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            model(pixel_values=pixels)
            n_batches += 1
        print(f"torch.clip_b32_images {n_batches * BATCH / (time.perf_counter() - start):.1f}")


if __name__ == "__main__":
    main()
