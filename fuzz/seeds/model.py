"""Writes the first inputs of a target for model checkpoints: python3 fuzz/seeds/model.py TARGET FOLDER

The first byte of an input selects the file that the rest replaces, or what of it; see the targets.
"""

import pathlib
import re
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "rewards/tests/golden"


def files_of(target: str) -> list[tuple[str, str]]:
    """The list FILES of a target: folder of the golden checkpoint, and file."""
    source = (ROOT / f"fuzz/fuzz_targets/{target}.rs").read_text()
    return re.findall(r'^    \("(.+)", "(.+)"\),$', source, re.MULTILINE)


def weights() -> dict[str, bytes]:
    inputs = {}
    for folder in ("clip_quick_gelu", "siglip"):
        file = (GOLDEN / folder / "model.safetensors").read_bytes()
        inputs[f"{folder}-header"] = b"\x04" + file[8 : 8 + int.from_bytes(file[:8], "little")]
    for path in [GOLDEN / "clip_words/pytorch_model.bin", *(GOLDEN / "torch_file").glob("*.bin")]:
        with zipfile.ZipFile(path) as archive:
            stream = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            inputs[f"{path.stem}-stream"] = b"\x05" + archive.read(stream)
        if path.stat().st_size < 10_000:
            inputs[path.stem] = b"\x01" + path.read_bytes()
    return inputs


def main(target: str, folder: str) -> None:
    if target == "model_weights":
        inputs = weights()
    else:
        inputs = {}
        for place, (name, file) in enumerate(files_of(target)):
            if (path := GOLDEN / name / file).exists():
                inputs[f"{name}-{file}"] = bytes([place]) + path.read_bytes()
            elif file == "special_tokens_map.json":
                inputs[f"{name}-{file}"] = bytes([place]) + b'{"pad_token": "<pad>"}'
            elif file == "processor_config.json":
                processor = (GOLDEN / name / "preprocessor_config.json").read_bytes()
                inputs[f"{name}-{file}"] = bytes([place]) + b'{"image_processor": ' + processor + b"}"
    for name, content in inputs.items():
        (pathlib.Path(folder) / name).write_bytes(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
