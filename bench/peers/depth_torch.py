#!/usr/bin/env python3
"""Backpropagation beside bench/depth.py, from the same initial weights: accuracy after as many steps, and the angle between each layer's estimate and the derivative.

    pip install -r bench/peers/requirements-torch.txt
    python3 bench/peers/depth_torch.py train FOLDER --data DIR [--onward PATH]     # after `bench/depth.py run`: trains beside its cells of relative-local
    python3 bench/peers/depth_torch.py cosine FOLDER --data DIR [--onward PATH]    # one step of each method on the same 128 images

Training: SGD with momentum 0.9 and half a cosine, the rate, batch and steps of the cell beside; two more rates are tried at 10 layers on rows held out. Hard
steps are passed by the straight-through derivative of tanh (they have none of their own).
"""
import argparse
import json
import math
import pathlib
import struct
import subprocess

import numpy as np
import torch

from idx import read_idx

DEPTHS = [5, 10, 20, 50, 100]


def mnist(folder):
    def part(name):
        images = read_idx(folder, f"{name}-images-idx3-ubyte")
        return images.reshape(len(images), -1).astype(np.float32) * np.float32(0.012728), read_idx(folder, f"{name}-labels-idx1-ubyte").astype(np.int64)
    (x, y), (test_x, test_y) = part("train"), part("t10k")
    mean = x.mean(dtype=np.float64).astype(np.float32)
    return (x - mean, y), (test_x - mean, test_y)


def safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + size])
    return {name: torch.tensor(np.frombuffer(data, np.float32, offset=8 + size + own["data_offsets"][0],
                                             count=math.prod(own["shape"])).reshape(own["shape"]).copy())
            for name, own in head.items() if name != "__metadata__"}


class Straight(torch.autograd.Function):
    """The sign, with the derivative of tanh."""
    @staticmethod
    def forward(cx, x):
        cx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(cx, g):
        x, = cx.saved_tensors
        return g * (1 - torch.tanh(x) ** 2)


def forward(weights, x, activation, residual):
    layers = sum(name.endswith(".weight") for name in weights)
    for layer in range(1, layers + 1):
        before = x
        if layer > 1:
            x = torch.tanh(x) if activation == "tanh" else Straight.apply(x)
        x = torch.nn.functional.linear(x, weights[f"fc{layer}.weight"], weights[f"fc{layer}.bias"])
        if residual and 1 < layer < layers:
            x = x + before
    return x


def start(onward, run):
    """The weights that a run began with."""
    path = run.parent / f"{run.name}-start.safetensors"
    if not path.exists():
        subprocess.run([onward, "replay", run, "--to", "0", "--out", path, "--quiet"], check=True)
    return safetensors(path)


def train(arguments):
    (x, y), (test_x, test_y) = [[torch.tensor(part) for part in pair] for pair in mnist(arguments.data)]
    for activation in ("tanh", "sign"):
        for residual in (False, True):
            for depth in DEPTHS:
                kind = "residual" if residual else "plain"
                run = arguments.folder / f"relative-local-{activation}-{kind}-{depth}"
                told = arguments.folder / f"backprop-{activation}-{kind}-{depth}.json"
                if told.exists() or not (run / "result.json").exists():
                    continue
                result = json.loads((run / "result.json").read_text())
                weights = {name: t.requires_grad_() for name, t in start(arguments.onward, run).items()}
                rate, steps = result["settings"]["method.rate"], result["step"]
                optimizer = torch.optim.SGD(weights.values(), rate, momentum=0.9)
                schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
                chance = torch.Generator().manual_seed(1)
                # The last 10 000 are left out, as many as are held out there.
                order = torch.cat([torch.randperm(50_000, generator=chance) for _ in range(steps * 128 // 50_000 + 1)])
                for step in range(steps):
                    rows = order[step * 128:(step + 1) * 128]
                    loss = torch.nn.functional.cross_entropy(forward(weights, x[rows], activation, residual), y[rows])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                with torch.no_grad():
                    accuracy = (forward(weights, test_x, activation, residual).argmax(1) == test_y).float().mean().item()
                told.write_text(json.dumps({"accuracy": accuracy, "steps": steps, "rate": rate}))
                print(activation, kind, depth, f"{100 * accuracy:.1f}", flush=True)


SPEC = """seed = 1
[data]
path = "{rows}"
test_path = "{others}"
center = "none"
[model]
kind = "mlp"
hidden = {hidden}
activation = "tanh"
residual = {residual}
init = "lecun"
[method]
name = "{method}"
rate = 1.0
{settings}
[train]
batch = 128
steps = 1
"""
METHODS = {"relative-local": "sigma = 0.01", "relative-activation": "sigma = 0.05\ndirections = 8", "population": "sigma = 0.05\nmembers = 256"}


def cosine(arguments):
    folder = arguments.folder / "cosine"
    folder.mkdir(parents=True, exist_ok=True)
    (x, y), (test_x, test_y) = mnist(arguments.data)
    x, y = x[:128], y[:128]
    for name, (rows, labels) in {"rows": (x, y), "others": (test_x[:128], test_y[:128])}.items():
        np.savez(folder / f"{name}.npz", x=rows, y=labels)
    x, y = torch.tensor(x), torch.tensor(y)
    print("| method | net | layers | " + " | ".join(["first", "a quarter up", "half", "three quarters", "last"]) + " |\n|" + "---|" * 8)
    for method, settings in METHODS.items():
        for residual in (False, True):
            for depth in (5, 20, 50, 100):
                name = f"{method}-{'residual' if residual else 'plain'}-{depth}"
                run = folder / name
                if not (run / "result.json").exists():
                    spec = folder / f"{name}.toml"
                    spec.write_text(SPEC.format(rows=folder.resolve() / "rows.npz", others=folder.resolve() / "others.npz", hidden=[64] * depth,
                                                residual=str(residual).lower(), method=method, settings=settings))
                    subprocess.run([arguments.onward, "train", spec, "--name", name, "--runs", folder, "--threads", "1", "--no-plots", "--quiet"], check=True)
                before = start(arguments.onward, run)
                after = safetensors(run / "model.safetensors")
                weights = {key: t.clone().double().requires_grad_() for key, t in before.items()}
                torch.nn.functional.cross_entropy(forward(weights, x.double(), "tanh", residual), y).backward()
                def angle(layer):
                    own, true = (before[f"fc{layer}.weight"] - after[f"fc{layer}.weight"]).double().flatten(), weights[f"fc{layer}.weight"].grad.flatten()
                    return (own @ true / (own.norm() * true.norm())).item()
                layers = [1, 1 + depth // 4, 1 + depth // 2, 1 + 3 * depth // 4, depth + 1]
                print(f"| {method} | {'residual' if residual else 'plain'} | {depth} | " + " | ".join(f"{angle(layer):.3f}" for layer in layers) + " |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "cosine"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--onward", default="target/release/onward")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    {"train": train, "cosine": cosine}[arguments.what](arguments)
