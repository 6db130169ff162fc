"""Makes the small random checkpoints and the golden values in this folder.

    python3 -m venv VENV && VENV/bin/pip install torch==2.15.0 transformers==5.23.0 open_clip_torch==3.3.0 pillow==11.3.0
    VENV/bin/python rewards/tests/golden/make.py [CASE...]

CASE is `clip`, `open_clip`, `siglip` or `siglip2`; without one, all cases and the images are made anew.

Pillow 13 began to choose the order of the two axes by their sizes, which changes some pixels by one grey level or more.
Existing models were trained before, so the older order (rows first, always) is the reference.

Each case is a folder with a checkpoint as its library writes it, and `golden.json`: the output of the reference library for
every stage. `golden.rs` compares stage by stage.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoTokenizer,
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    GemmaTokenizer,
    SiglipConfig,
    SiglipModel,
    SiglipProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

HERE = Path(__file__).parent
PROMPTS = ["a red ball", "the gripper touching the  Red Ball, isn't it?", "pole vertically upright on top of the cart", "a"]
GOAL, BASELINE, ALPHA = PROMPTS[:2], [PROMPTS[2], PROMPTS[3]], 0.3


def test_image(width, height, seed):
    """An image with a smooth gradient, an edge and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([255 * x / width, 255 * y / height, 127 + 120 * np.sin(x / 5 + y / 9)], -1)
    base[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 3) ** 2] = [220, 30, 40]
    return Image.fromarray(np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8))


def randomize(model, seed):
    """Fills the parameters with larger values than an initialisation, so that each of them affects the result."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 0 or "logit" in name:
                continue
            noise = torch.randn(p.shape, generator=generator)
            if name.endswith("weight") and p.ndim == 1:
                p.copy_(1 + 0.2 * noise)
            elif p.ndim == 1:
                p.copy_(0.2 * noise)
            elif "embedding" in name or "probe" in name:
                p.copy_(0.5 * noise)
            else:
                p.copy_(noise * 1.2 * p[0].numel() ** -0.5)
    return model.eval()


def bpe(corpus):
    """A byte-pair encoding with CLIP's start and end tokens, learnt from `corpus`, as vocabulary and merges."""
    words = {}
    for word in " ".join(corpus).lower().replace(",", " ,").replace("?", " ?").replace("'", " '").split():
        key = (*word[:-1], word[-1] + "</w>")
        words[key] = words.get(key, 0) + 1
    alphabet = [chr(c) for c in range(33, 127)]
    vocab, merges = alphabet + [c + "</w>" for c in alphabet], []
    while len(merges) < 60:
        pairs = {}
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] = pairs.get(pair, 0) + n
        if not pairs:
            break
        best = max(sorted(pairs), key=pairs.get)
        merges.append(best)
        vocab.append("".join(best))
        merged = {}
        for word, n in words.items():
            out, i = [], 0
            while i < len(word):
                if word[i : i + 2] == best:
                    out.append(word[i] + word[i + 1])
                    i += 2
                else:
                    out.append(word[i])
                    i += 1
            merged[tuple(out)] = merged.get(tuple(out), 0) + n
        words = merged
    vocab = list(dict.fromkeys(vocab)) + ["<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(vocab)}, merges


VOCAB, MERGES = bpe(PROMPTS)
START, END = VOCAB["<|startoftext|>"], VOCAB["<|endoftext|>"]


def word_level():
    """A tokenizer with a closed vocabulary, as in the bundled model, and its number of tokens."""
    words = sorted({w for p in PROMPTS[:1] + PROMPTS[2:] for w in p.split()})
    vocab = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[SOT]", "[EOT]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[SOT] $A [EOT]", special_tokens=[("[SOT]", vocab["[SOT]"]), ("[EOT]", vocab["[EOT]"])]
    )
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[SOT]", "[EOT]"])
    return tokenizer, len(vocab)


def fresh(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def rounded(array):
    return [float(f"{v:.7g}") for v in np.asarray(array, dtype=np.float64).reshape(-1)]


def reward(images, texts, prompts):
    """VLM-RM's published form, with the full matrix."""
    at = {p: t for p, t in zip(prompts, texts.double())}
    g = torch.stack([at[p] for p in GOAL]).mean(0)
    b = torch.stack([at[p] for p in BASELINE]).mean(0)
    d = g - b
    m = ALPHA * torch.outer(d, d) / d.dot(d) + (1 - ALPHA) * torch.eye(len(d), dtype=torch.float64)
    return 1 - (((images.double() - g) @ m).norm(dim=-1) ** 2) / 2


def write(folder, raw_images, pixel_values, tokens, images, texts, prompts):
    images, texts = (torch.nn.functional.normalize(v, dim=-1) for v in (images, texts))
    golden = {
        "prompts": prompts,
        "tokens": tokens,
        "text_embeddings": [rounded(t) for t in texts],
        "image_embeddings": [rounded(i) for i in images],
        # Every 97th value is enough to detect a wrong resize, crop or order.
        "pixel_values": [rounded(p.reshape(-1)[::97]) for p in pixel_values],
    }
    if set(GOAL + BASELINE) <= set(prompts):
        golden["reward"] = {"goal": GOAL, "baseline": BASELINE, "alpha": ALPHA, "values": rounded(reward(images, texts, prompts))}
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    print(folder.name, sum(f.stat().st_size for f in folder.iterdir()) // 1024, "KiB")


def clip_case(name, config, raw_images, processor, prompts=PROMPTS, save_tokenizer=None, tokenize=None):
    folder = fresh(name)
    model = randomize(CLIPModel(CLIPConfig(**config)), len(name))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    if save_tokenizer:
        save_tokenizer(folder)
        ids = [tokenize(p) for p in prompts]
    else:
        tokenizer = CLIPTokenizer(VOCAB, MERGES)
        tokenizer.save_pretrained(folder)
        (folder / "tokenizer_config.json").unlink(missing_ok=True)
        ids = [tokenizer(p)["input_ids"] for p in prompts]
    pixels = torch.tensor(np.array(processor(raw_images)["pixel_values"]))
    with torch.no_grad():
        images = model.get_image_features(pixel_values=pixels).pooler_output
        texts = torch.cat([model.get_text_features(input_ids=torch.tensor([i])).pooler_output for i in ids])
    write(folder, raw_images, pixels, ids, images, texts, prompts)
    return folder


def text_config(**over):
    base = dict(vocab_size=len(VOCAB), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
                max_position_embeddings=77, eos_token_id=END, bos_token_id=START, pad_token_id=END)
    return {**base, **over}


def main(names):
    raw_images = [test_image(90, 70, 0), test_image(64, 64, 1), test_image(33, 101, 2)]
    if not names:
        for i, p in enumerate(raw_images):
            p.save(HERE / f"image{i}.png")
    cases = {"clip": clip_cases, "open_clip": open_clip_case, "siglip": siglip_case, "siglip2": siglip2_case}
    for name in names or cases:
        cases[name](name, raw_images)


def clip_cases(_, raw_images):
    processor = CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    folder = clip_case(
        "clip_quick_gelu",
        dict(projection_dim=24, text_config=text_config(),
             vision_config=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=64, patch_size=8)),
        raw_images, processor)
    # The older file format of the same tokenizer.
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(VOCAB) + "\n")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES))

    # Another activation, other heads, an image size that is no multiple of the patch size, the legacy end token, two shards.
    processor = CLIPImageProcessorPil(size={"height": 50, "width": 50}, do_center_crop=False, resample=2,
                                      image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.3, 0.25])
    folder = clip_case(
        "clip_gelu",
        dict(projection_dim=20,
             text_config=text_config(hidden_size=30, num_attention_heads=3, hidden_act="gelu", eos_token_id=2, layer_norm_eps=1e-3),
             vision_config=dict(hidden_size=40, intermediate_size=56, num_hidden_layers=3, num_attention_heads=5, image_size=50,
                                patch_size=12, hidden_act="gelu", layer_norm_eps=1e-3)),
        raw_images, processor)
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for part, keys in parts.items():
        save_file({n: tensors[n] for n in keys}, folder / part, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {n: part for part, keys in parts.items() for n in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index) + "\n")
    (folder / "model.safetensors").unlink()

    # As the bundled model: a closed vocabulary and gelu with a tanh; also a PyTorch pickle.
    tokenizer, n_words = word_level()
    processor = CLIPImageProcessorPil(size=40, crop_size=32, resample=1)
    folder = clip_case(
        "clip_words",
        dict(projection_dim=16,
             text_config=text_config(vocab_size=n_words, max_position_embeddings=12, hidden_act="gelu_pytorch_tanh", eos_token_id=3),
             vision_config=dict(hidden_size=48, intermediate_size=48, num_hidden_layers=1, num_attention_heads=1, image_size=32,
                                patch_size=8, hidden_act="gelu_pytorch_tanh")),
        raw_images, processor, prompts=[PROMPTS[0], *PROMPTS[2:]],
        save_tokenizer=lambda f: tokenizer.save(str(f / "tokenizer.json")), tokenize=lambda p: tokenizer.encode(p).ids)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def open_clip_case(name, raw_images):
    folder = fresh(name)
    config = {
        "embed_dim": 28,
        "vision_cfg": {"image_size": 45, "layers": 2, "width": 48, "head_width": 12, "mlp_ratio": 1.4375, "patch_size": 9},
        "text_cfg": {"context_length": 60, "vocab_size": len(VOCAB), "width": 36, "heads": 3, "layers": 2, "mlp_ratio": 2.0},
    }
    model = randomize(open_clip.CLIP(**config), 4)
    preprocess_cfg = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711],
                      "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess_cfg}) + "\n")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    tokenizer = CLIPTokenizer(VOCAB, MERGES)
    tokenizer.save_pretrained(folder)
    (folder / "tokenizer_config.json").unlink(missing_ok=True)
    ids = [tokenizer(p)["input_ids"] for p in PROMPTS]
    transform = open_clip.image_transform(45, is_train=False, mean=preprocess_cfg["mean"], std=preprocess_cfg["std"])
    pixels = torch.stack([transform(p) for p in raw_images])
    padded = torch.tensor([i + [0] * (60 - len(i)) for i in ids])
    with torch.no_grad():
        write(folder, raw_images, pixels, ids, model.encode_image(pixels), model.encode_text(padded), PROMPTS)


def siglip_case(name, raw_images):
    folder = fresh(name)
    config = SiglipConfig(
        text_config=dict(vocab_size=len(VOCAB), hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
                         max_position_embeddings=48, pad_token_id=END),
        vision_config=dict(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, image_size=48, patch_size=16))
    model = randomize(SiglipModel(config), 5)
    model.save_pretrained(folder)
    processor = SiglipImageProcessorPil(size={"height": 48, "width": 48})
    processor.save_pretrained(folder)
    tokenizer = CLIPTokenizer(VOCAB, MERGES)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", END)])
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    ids = [tokenizer.backend_tokenizer.encode(p).ids for p in PROMPTS]
    ids = [i + [END] * (48 - len(i)) for i in ids]
    pixels = torch.tensor(np.array(processor(raw_images)["pixel_values"]))
    with torch.no_grad():
        images = model.get_image_features(pixel_values=pixels).pooler_output
        texts = model.get_text_features(input_ids=torch.tensor(ids)).pooler_output
    write(folder, raw_images, pixels, ids, images, texts, PROMPTS)


def siglip2_case(name, raw_images):
    """The form of the published SigLIP 2 checkpoints of a fixed image size: `model_type` "siglip", no pad token in the config,
    a tokenizer of Gemma that pads with 0, and keys of the image processor that are null."""
    folder = fresh(name)
    n_tokens = 64
    vocab, merges = gemma_bpe(PROMPTS)
    tokenizer = GemmaTokenizer(vocab=vocab, merges=merges, padding_side="right", model_max_length=n_tokens,
                               model_input_names=["input_ids"])
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", tokenizer.eos_token_id)])
    config = SiglipConfig(
        text_config=dict(vocab_size=len(vocab), hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
                         max_position_embeddings=n_tokens),
        vision_config=dict(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, image_size=48, patch_size=16))
    model = randomize(SiglipModel(config), 6)
    model.save_pretrained(folder)
    SiglipProcessor(SiglipImageProcessorPil(size={"height": 48, "width": 48}, resample=2), tokenizer).save_pretrained(folder)
    # `transformers` 5 writes the image processor's keys into another file, and defaults that the published files lack.
    images_config = json.loads((folder / "processor_config.json").read_text())["image_processor"]
    images_config |= {"crop_size": None, "do_center_crop": None, "do_convert_rgb": None}
    (folder / "processor_config.json").unlink()
    (folder / "preprocessor_config.json").write_text(json.dumps(images_config, indent=2) + "\n")
    config = json.loads((folder / "config.json").read_text())
    for key in ["pad_token_id", "bos_token_id", "eos_token_id"]:
        del config["text_config"][key]
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    # The reference reads the files as they are.
    model = SiglipModel.from_pretrained(folder).eval()
    processor = SiglipProcessor(SiglipImageProcessorPil.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))
    assert processor.tokenizer.pad_token_id == 0
    ids = processor(text=PROMPTS, padding="max_length", max_length=n_tokens)["input_ids"]
    pixels = torch.tensor(np.array(processor(images=raw_images)["pixel_values"]))
    with torch.no_grad():
        images = model.get_image_features(pixel_values=pixels).pooler_output
        texts = model.get_text_features(input_ids=torch.tensor(ids)).pooler_output
    write(folder, raw_images, pixels, ids, images, texts, PROMPTS)


def gemma_bpe(corpus):
    """Vocabulary and merges of a byte-pair encoding with Gemma's special tokens, learnt from `corpus`."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    alphabet = ["▁", *(chr(c) for c in range(33, 127))]
    trainer = trainers.BpeTrainer(vocab_size=150, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


if __name__ == "__main__":
    main(sys.argv[1:])
