#!/usr/bin/env python3
"""A forward pass and a MeZO step in PyTorch on a folder that bench/language_cost.py has made: seconds, and peak memory.

    python3 bench/peers/language_cost.py FOLDER [--threads 2]

MeZO as its paper has it (Malladi et al. 2023, Algorithm 1): the seed is kept and the noise drawn again for each of three moves in place, two forward passes
between them, no gradients.
"""

import argparse
import json
import resource
import time

import torch
from transformers import AutoModelForCausalLM

args = argparse.ArgumentParser()
args.add_argument("folder")
args.add_argument("--threads", type=int, default=2)
a = args.parse_args()
torch.set_num_threads(a.threads)
model = AutoModelForCausalLM.from_pretrained(a.folder, torch_dtype="auto")
model.eval()
kind = str(next(model.parameters()).dtype).removeprefix("torch.")
tokens = torch.randint(3, 500, (16, 128), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def loss():
    return model(input_ids=tokens, labels=tokens).loss.item()


def move(seed, scale):
    draw = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.data.add_(torch.randn(p.shape, generator=draw, dtype=p.dtype), alpha=scale)


def step(seed, sigma=1e-3, rate=1e-6):
    move(seed, sigma)
    above = loss()
    move(seed, -2 * sigma)
    below = loss()
    move(seed, sigma)
    move(seed, -rate * (above - below) / (2 * sigma))


def median(work, times):
    work(0)
    took = []
    for i in range(times):
        began = time.monotonic()
        work(i)
        took.append(time.monotonic() - began)
    return sorted(took)[len(took) // 2]


forward = median(lambda _: loss(), 3)
mezo = median(lambda i: step(i), 3)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"case": "pytorch", "type": kind, "threads": a.threads, "forward_s": round(forward, 3), "mezo_step_s": round(mezo, 3), "forwards": round(mezo / forward, 3), "MiB": round(peak)}))
