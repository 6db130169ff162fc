"""Makes the files of `torch.save` in `torch_file/`, and the values of their tensors.

    python3 -m venv VENV && VENV/bin/pip install torch==2.15.0 numpy
    VENV/bin/python rewards/tests/golden/torch_file.py
"""

import collections
import json
import pathlib

import torch

FOLDER = pathlib.Path(__file__).parent / "torch_file"


def tensors() -> dict[str, torch.Tensor]:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7
    return {
        "f32": base,
        "shares its storage": base[1:3],
        "transposed": base.t(),
        "every second column": base[:, 1::2],
        "one row": base[2:3].t(),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "f64": torch.tensor([1e-3, -2.0], dtype=torch.float64),
        "f16": torch.tensor([0.5, -65504.0], dtype=torch.float16),
        "bf16": torch.tensor([0.5, -3e38], dtype=torch.bfloat16),
        "i64": torch.tensor([[-1], [2**40]], dtype=torch.int64),
        "i32": torch.tensor([-1, 7], dtype=torch.int32),
        "i16": torch.tensor([-300, 300], dtype=torch.int16),
        "u8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "parameter": torch.nn.Parameter(torch.tensor([3.0, 4.0])),
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    values = {
        name: {"shape": list(tensor.shape), "values": tensor.detach().double().flatten().tolist()}
        for name, tensor in tensors().items()
    }
    (FOLDER / "values.json").write_text(json.dumps(values, indent=1) + "\n")
    torch.save(collections.OrderedDict(tensors()), FOLDER / "state_dict.bin")
    nested = {"epoch": 3, "args": ["a", 1.5, None, True, 10**30], "state_dict": tensors()}
    torch.save(nested, FOLDER / "nested.bin", pickle_protocol=4)
    torch.save({"expanded": torch.tensor([1.0]).expand(5)}, FOLDER / "expanded.bin")
    torch.save({"complex": torch.tensor([1j])}, FOLDER / "complex.bin")
    torch.save([torch.tensor([1.0])], FOLDER / "list.bin")


if __name__ == "__main__":
    main()
