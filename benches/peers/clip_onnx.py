"""Images per second of the image tower of `clip_torch.py` in ONNX Runtime: exported with fixed shapes, two threads."""

import pathlib
import tempfile
import time

import numpy
import onnxruntime
import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

BATCH = 32
SECONDS = 4.0


class Tower(torch.nn.Module):
    """Pixels to embeddings as plain tensors, without named outputs that the exporter would have to flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.model = CLIPVisionModelWithProjection(CLIPVisionConfig(attn_implementation="eager")).eval()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model(pixel_values=pixels).image_embeds


def main() -> None:
    pixels = torch.randn(BATCH, 3, 224, 224)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = str(pathlib.Path(folder) / "tower.onnx")
        tower = Tower()
        torch.onnx.export(tower, (pixels,), path, input_names=["pixels"], output_names=["embeds"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feed = {"pixels": pixels.numpy()}
        difference = numpy.abs(session.run(None, feed)[0] - tower(pixels).numpy()).max()
        assert difference < 1e-3, f"the exported tower differs by {difference}"
        n_batches, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            session.run(None, feed)
            n_batches += 1
        print(f"onnx.clip_b32_images {n_batches * BATCH / (time.perf_counter() - start):.1f}")


if __name__ == "__main__":
    main()
