"""Adam by back-propagation, and MeZO, on the text that `bench/language.md` tunes on: the same model, rows, batches of the same size.

    python bench/peers/language_torch.py MODEL TEXT --steps 100 --rate 2e-3            # Adam, all weights
    python bench/peers/language_torch.py MODEL TEXT --steps 10000 --mezo --rate 1e-4   # MeZO (Malladi et al. 2023)
    python bench/peers/language_torch.py MODEL TEXT --eval other.txt                   # the loss alone

Rows are those of `onward train`: the text's tokens in windows of LENGTH targets, each after the token that begins texts; the last tenth is held out, and with
`--validate` the tenth before it is scored instead, and not trained on. A backward pass counts as two forward passes.
"""

import argparse
import json
import math
import pathlib
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer


class Llama:
    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.p = {k: v.float().requires_grad_() for k, v in load_file(folder / "model.safetensors").items()}

    def norm(self, x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.config["rms_norm_eps"]) * self.p[name]

    def __call__(self, tokens):
        c, p = self.config, self.p
        heads, kv, width = c["num_attention_heads"], c["num_key_value_heads"], c["hidden_size"]
        size, (rows, items) = width // heads, tokens.shape
        x = p["model.embed_tokens.weight"][tokens]
        angle = torch.arange(items)[:, None] * c["rope_theta"] ** (-torch.arange(0, size, 2) / size)
        cos, sin = angle.cos(), angle.sin()

        def turned(x):
            a, b = x[..., : size // 2], x[..., size // 2 :]
            return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

        for block in range(c["num_hidden_layers"]):
            name = f"model.layers.{block}."
            y = self.norm(x, name + "input_layernorm.weight")
            q, k, v = (
                (y @ p[f"{name}self_attn.{part}_proj.weight"].T).view(rows, items, -1, size).transpose(1, 2)
                for part in "qkv"
            )
            k, v = (t.repeat_interleave(heads // kv, 1) for t in (turned(k), v))
            y = F.scaled_dot_product_attention(turned(q), k, v, is_causal=True)
            x = x + y.transpose(1, 2).reshape(rows, items, width) @ p[name + "self_attn.o_proj.weight"].T
            y = self.norm(x, name + "post_attention_layernorm.weight")
            y = F.silu(y @ p[name + "mlp.gate_proj.weight"].T) * (y @ p[name + "mlp.up_proj.weight"].T)
            x = x + y @ p[name + "mlp.down_proj.weight"].T
        return self.norm(x, "model.norm.weight") @ p["model.embed_tokens.weight"].T


def rows_of(text, folder, length, document_end=None):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    begin = json.loads((folder / "config.json").read_text())["bos_token_id"]
    rows = []
    for document in text.split(document_end) if document_end else [text]:
        if document_end and not document.strip():
            continue
        tokens = tokenizer.encode(document, add_special_tokens=False).ids
        for at in range(0, len(tokens), length):
            window = tokens[at : at + length]
            rows.append(([begin] + window[:-1], window))
    x = torch.zeros(len(rows), length, dtype=torch.long)
    y = torch.full((len(rows), length), -100)
    for i, (tokens, targets) in enumerate(rows):
        x[i, : len(tokens)], y[i, : len(targets)] = torch.tensor(tokens), torch.tensor(targets)
    return x, y


def losses(model, x, y):
    """The mean loss of each row's tokens."""
    each = F.cross_entropy(model(x).transpose(1, 2), y, ignore_index=-100, reduction="none")
    return each.sum(1) / (y >= 0).sum(1)


@torch.no_grad()
def score(model, x, y):
    return torch.cat([losses(model, x[i : i + 64], y[i : i + 64]) for i in range(0, len(x), 64)]).mean().item()


def main():
    args = argparse.ArgumentParser()
    args.add_argument("model", type=pathlib.Path)
    args.add_argument("text", type=pathlib.Path)
    args.add_argument("--length", type=int, default=64)
    args.add_argument("--batch", type=int, default=8)
    args.add_argument("--steps", type=int, default=100)
    args.add_argument("--rate", type=float, default=2e-3)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--mezo", action="store_true")
    args.add_argument("--head", action="store_true")
    args.add_argument("--every", type=int, default=0)
    args.add_argument("--validate", action="store_true")
    args.add_argument("--eval", type=pathlib.Path)
    args.add_argument("--document-end")
    a = args.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(a.seed)
    model = Llama(a.model)
    if a.eval:
        x, y = rows_of(a.eval.read_text(), a.model, a.length, a.document_end)
        print(json.dumps({"rows": len(x), "loss": score(model, x, y)}))
        return
    x, y = rows_of(a.text.read_text(), a.model, a.length)
    held = round(0.1 * len(x))
    test = (x[-held:], y[-held:])
    x, y = x[:-held], y[:-held]
    if a.validate:
        held = round(0.1 * len(x))
        test = (x[-held:], y[-held:])
        x, y = x[:-held], y[:-held]
    trained = [v for k, v in model.p.items() if "norm" not in k]
    began, forwards = time.time(), 0
    adam = torch.optim.Adam(trained, lr=a.rate, betas=(0.9, 0.99 if a.steps < 3000 else 0.999))
    order = torch.randperm(len(x))
    for step in range(a.steps):
        if a.every and step % a.every == 0:
            print(json.dumps({"step": step, "forwards": forwards, "loss": score(model, *test)}), flush=True)
        at = torch.arange(step * a.batch, (step + 1) * a.batch) % len(x)
        rows = order[at]
        if a.mezo:
            with torch.no_grad():
                noise = [torch.randn_like(v) for v in trained]
                both = []
                for sign in (1, -2):
                    for v, z in zip(trained, noise):
                        v += sign * 1e-3 * z
                    both.append(losses(model, x[rows], y[rows]).mean().item())
                slope = (both[0] - both[1]) / 2e-3
                for v, z in zip(trained, noise):
                    v += (1e-3 - a.rate * slope) * z
            forwards += 2
            continue
        share = (step + 1) / a.steps
        rate = a.rate * min(1, (step + 1) / 10) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share)))
        adam.param_groups[0]["lr"] = rate
        adam.zero_grad()
        losses(model, x[rows], y[rows]).mean().backward()
        adam.step()
        forwards += 3
    seconds = time.time() - began
    print(json.dumps({"step": a.steps, "forwards": forwards, "rate": a.rate, "seed": a.seed, "mezo": a.mezo,
                      "loss": score(model, *test), "seconds": round(seconds, 1)}), flush=True)


if __name__ == "__main__":
    main()
