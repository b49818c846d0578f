#!/usr/bin/env python3
"""Memory and time of tuning a language model of 110 M weights against evaluating it on the same batch (bench/language.md).

    python3 bench/language_cost.py TEXT TOKENIZER FOLDER [--binary target/release/onward] [--threads 2] [--type f32|bf16] [--python PYTHON]

TEXT is any text, TOKENIZER a tokenizer.json of at most 32 000 tokens; FOLDER is made and filled with a model of random weights in the shape of Llama (12 blocks of
width 768, inner width 2048, 12 heads, a tied head of 32 000 tokens). A batch has 16 rows of 128 tokens. One line of JSON a case: peak resident memory (MiB, mapped files
included), seconds of a step, and what both are of evaluating a batch. With --python, MeZO in PyTorch runs beside (bench/peers/language_cost.py).
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import time

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12,
    "num_attention_heads": 12, "num_key_value_heads": 12, "vocab_size": 32000, "rms_norm_eps": 1e-5, "max_position_embeddings": 1024,
    "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "rope_theta": 10000.0,
}
ROWS, LENGTH = 16, 128


def tensors():
    d, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    yield "model.embed_tokens.weight", (CONFIG["vocab_size"], d)
    for i in range(CONFIG["num_hidden_layers"]):
        at = f"model.layers.{i}."
        yield at + "input_layernorm.weight", (d,)
        yield at + "post_attention_layernorm.weight", (d,)
        for part in "qkvo":
            yield at + f"self_attn.{part}_proj.weight", (d, d)
        yield at + "mlp.gate_proj.weight", (inner, d)
        yield at + "mlp.up_proj.weight", (inner, d)
        yield at + "mlp.down_proj.weight", (d, inner)
    yield "model.norm.weight", (d,)


def make(folder, kind, tokenizer):
    """A folder of random weights: numbers from a table of 2^16 normal draws, so that it takes seconds and no package."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | {"torch_dtype": {"f32": "float32", "bf16": "bfloat16"}[kind]}))
    shutil.copy(tokenizer, folder / "tokenizer.json")
    draw, size = random.Random(1), 4 if kind == "f32" else 2
    short = (lambda v: struct.pack("<f", v)) if kind == "f32" else (lambda v: struct.pack("<f", v)[2:])
    table = b"".join(short(draw.gauss(0, 0.02)) for _ in range(1 << 16))
    one = short(1.0)
    header, at = {}, 0
    for name, shape in tensors():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": kind.upper(), "shape": list(shape), "data_offsets": [at, at + count * size]}
        at += count * size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors():
            count = shape[0] * (shape[1] if len(shape) > 1 else 1)
            if len(shape) == 1:
                file.write(one * count)
                continue
            left = count * size
            while left:
                # Another beginning each time: rows are not all the same.
                begin = draw.randrange(1 << 15) * size
                part = table[begin : begin + min(left, len(table) - begin)]
                file.write(part)
                left -= len(part)


def run(words, threads):
    began = time.monotonic()
    child = subprocess.Popen([*map(str, words), "--threads", str(threads), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out = child.stdout.read()
    error = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{words}: {error}")
    return json.loads(out.splitlines()[-1]), usage.ru_maxrss / 1024, time.monotonic() - began


def main():
    args = argparse.ArgumentParser()
    args.add_argument("text", type=pathlib.Path)
    args.add_argument("tokenizer", type=pathlib.Path)
    args.add_argument("folder", type=pathlib.Path)
    args.add_argument("--binary", default="target/release/onward")
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--type", default="f32", choices=["f32", "bf16"])
    args.add_argument("--only", default="")
    args.add_argument("--python")
    a = args.parse_args()
    model = a.folder / f"llama110m-{a.type}"
    if not (model / "model.safetensors").is_file():
        make(model, a.type, a.tokenizer)
    whole = a.text.read_text()
    # An example is one row, cut at its end: 512 letters are more than 128 tokens of these.
    def exact(name, first, rows):
        path = a.folder / name
        lines = (json.dumps({"prompt": "", "completion": whole[i * 900 : i * 900 + 4 * LENGTH]}) for i in range(first, first + rows))
        path.write_text("\n".join(lines) + "\n")
        return path
    batch, more, train = exact("batch.jsonl", 500, ROWS), exact("more.jsonl", 500, 4 * ROWS), exact("train.jsonl", 0, 2 * ROWS)
    kind = ["--set", f'model.precision="{a.type}"', "--set", f'model.storage="{a.type}"'] if a.type != "f32" else []
    _, memory, once = run([a.binary, "eval", model, batch], a.threads)
    _, _, four = run([a.binary, "eval", model, more], a.threads)
    forward = (four - once) / 3
    print(json.dumps({"case": "eval", "type": a.type, "threads": a.threads, "MiB": round(memory), "forward_s": round(forward, 3)}), flush=True)
    tune = [a.binary, "tune", "--model", model, "--data", train, "--eval", batch, "--length", LENGTH, "--batch", ROWS, *kind]
    cases = {
        "two-point": ["--method", "two-point", "--layers", "all"],
        "lora": ["--adapter", "lora:r=8"],
        "head": ["--head"],
        "top:1": ["--layers", "top:1"],
    }
    for name, words in cases.items():
        if a.only and name != a.only:
            continue
        few, many = (1, 4) if name != "top:1" else (1, 2)
        took = []
        for steps in (few, many):
            shutil.rmtree(a.folder / "runs", ignore_errors=True)
            done, peak, seconds = run([*tune, *words, "--steps", steps, "--runs", a.folder / "runs", "--name", "cost", "--set", "train.eval_every=1000"], a.threads)
            took.append(done["seconds"])
        step = (took[1] - took[0]) / (many - few)
        print(json.dumps({"case": name, "type": a.type, "threads": a.threads, "MiB": round(peak), "of_eval": round(peak / memory, 3), "step_s": round(step, 3), "forwards": round(step / forward, 3)}), flush=True)
    shutil.rmtree(a.folder / "runs", ignore_errors=True)
    if a.python:
        peer = pathlib.Path(__file__).parent / "peers/language_cost.py"
        subprocess.run([a.python, peer, model, "--threads", str(a.threads)], check=True)


if __name__ == "__main__":
    main()
