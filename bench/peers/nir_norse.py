#!/usr/bin/env python3
"""A spiking run's NIR file in Norse, an independent simulator: are there the same spikes?

    pip install -r bench/peers/requirements-nir.txt
    python3 bench/peers/nir_norse.py RUN --data DIR [--onward PATH] [--bits 7]     # PATH built with --features nir; RUN of coding "latency" on MNIST

1. The run's net goes out as NIR; its weights are rounded to multiples of 2^-BITS (fixed point), with which sums of spikes are exact in any order, and written by
   the `nir` package.
2. `onward` begins a run with that file (model.from), in which nothing that leads to spikes learns, and writes it as NIR again.
3. Norse steps through the test images' spikes with that file; the spikes of each layer in each image, and the class, are held against `onward predict --spikes`.
The same is done without rounding, where sums in another order may end one bit apart and a neuron fire a step sooner or later.
"""
import argparse
import csv
import io
import pathlib
import subprocess
import tempfile

import numpy as np
import torch
import nir
import norse.torch

from idx import read_idx

SPEC = """seed = 1
[data]
path = "{data}"
format = "idx"
scale = 0.00392156862745098
center = "none"
[model]
kind = "spiking"
hidden = {hidden}
coding = "latency"
steps = {steps}
leak = {leak}
threshold = {threshold}
from = "{file}"
[method]
name = "relative-local"
rate = 1e-30
sigma = 1.0
[train]
batch = 2
steps = 1
rates = ["fc*: 0"]
"""


def latency(x, steps):
    edges = np.array([1 - t / steps for t in range(steps + 1)], np.float32)
    return [torch.tensor(((x > edges[t + 1]) & ~(x > edges[t])).astype(np.float32)) for t in range(steps)]


def in_norse(path, x, steps):
    """For each row the spikes of each layer, and the class."""
    graph = nir.read(path)
    dt = float(graph.metadata["dt"])
    net = norse.torch.from_nir(graph, dt=dt)
    layers = [name for name in graph.nodes if name.startswith("lif")]
    counts, answers, kept = {name: 0 for name in sorted(layers)}, 0, {}
    hooks = [getattr(net, name).register_forward_hook(lambda _, __, out, name=name: kept.__setitem__(name, out[0] if isinstance(out, tuple) else out))
             for name in layers]
    state = None
    with torch.no_grad():
        for spikes in latency(x, steps):
            out, state = net(spikes, state)
            answers = answers + out
            for name in counts:
                counts[name] = counts[name] + kept[name].sum(1)
    for hook in hooks:
        hook.remove()
    return np.stack([counts[name].numpy() for name in counts], 1), answers.argmax(1).numpy()


def compare(arguments, folder, name, bits):
    onward = arguments.onward
    out = folder / f"{name}.nir"
    subprocess.run([onward, "export", arguments.run, "--as", "nir", "--out", out, "--quiet"], check=True)
    graph = nir.read(out)
    hidden = [len(graph.nodes[f"lif{i + 1}"].tau) for i in range(sum(n.startswith("lif") for n in graph.nodes))]
    first = graph.nodes["lif1"]
    leak, threshold = float(graph.metadata["dt"]) / float(first.tau[0]), float(first.v_threshold[0])
    if bits is not None:
        for node in graph.nodes.values():
            if isinstance(node, nir.Affine):
                node.weight, node.bias = [np.round(part * 2.0**bits).astype(np.float32) / np.float32(2**bits) for part in (node.weight, node.bias)]
    given = folder / f"{name}-given.nir"
    nir.write(given, graph)
    spec = folder / f"{name}.toml"
    spec.write_text(SPEC.format(data=arguments.data.resolve(), hidden=hidden, steps=arguments.steps, leak=leak, threshold=threshold, file=given))
    subprocess.run([onward, "train", spec, "--name", name, "--runs", folder, "--no-plots", "--quiet"], check=True)
    again = folder / f"{name}-again.nir"
    subprocess.run([onward, "export", folder / name, "--as", "nir", "--out", again, "--quiet"], check=True)
    x = read_idx(arguments.data, "t10k-images-idx3-ubyte").reshape(-1, 784).astype(np.float32) * np.float32(0.00392156862745098)
    told = subprocess.run([onward, "predict", folder / name, arguments.data, "--spikes"], check=True, capture_output=True, text=True).stdout
    rows = list(csv.DictReader(io.StringIO(told)))
    own = np.array([[float(row[f"spikes_{i + 1}"]) for i in range(len(hidden))] for row in rows])
    classes = np.array([int(row["prediction"]) for row in rows])
    spikes, answers = in_norse(again, x, arguments.steps)
    same = (own == spikes).all(1)
    print(f"{name}: {len(x)} images, {int(spikes.sum())} spikes in Norse, {int(own.sum())} here; images with the same spikes in every layer: "
          f"{int(same.sum())}; the same class: {int((classes == answers).sum())}", flush=True)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("run", type=pathlib.Path)
parser.add_argument("--data", type=pathlib.Path, required=True)
parser.add_argument("--onward", default="target/release/onward")
parser.add_argument("--bits", type=int, default=7)
parser.add_argument("--steps", type=int, default=16, help="those of the run")
arguments = parser.parse_args()
torch.set_num_threads(1)
with tempfile.TemporaryDirectory() as place:
    compare(arguments, pathlib.Path(place), "fixed", arguments.bits)
    compare(arguments, pathlib.Path(place), "float", None)
