#!/usr/bin/env python3
"""Backpropagation through time with a surrogate derivative, beside specs/mnist-spiking.toml: the same net, steps, batch, epochs and optimiser.

    pip install -r bench/peers/requirements-torch.txt
    python3 bench/peers/spiking_torch.py --data DIR [--seeds 1,2,3]

784-256-10, leaky neurons (v ← v + leak (x − v), 1 above the threshold and anew at 0), ten steps of constant currents, the mean of the spikes into the head. The
surrogate is that of a fast sigmoid, 1 / (1 + k |v − threshold|)². Rate and k are chosen on the last 10 000 training images, two epochs each.
"""
import argparse
import itertools
import math
import pathlib
import time

import torch

from depth_torch import mnist

STEPS, LEAK, THRESHOLD, BATCH, EPOCHS = 10, 0.5, 1.0, 128, 15


class Fire(torch.autograd.Function):
    @staticmethod
    def forward(cx, v, k):
        cx.save_for_backward(v)
        cx.k = k
        return (v > THRESHOLD).float()

    @staticmethod
    def backward(cx, g):
        v, = cx.saved_tensors
        return g / (1 + cx.k * (v - THRESHOLD).abs()) ** 2, None


def forward(weights, x, k):
    current = torch.nn.functional.linear(x, weights[0], weights[1])
    v, fired = torch.zeros_like(current), torch.zeros_like(current)
    for _ in range(STEPS):
        v = v + LEAK * (current - v)
        spikes = Fire.apply(v, k)
        v = v * (1 - spikes)
        fired = fired + spikes
    return torch.nn.functional.linear(fired / STEPS, weights[2], weights[3])


def train(data, test, rate, k, epochs, seed):
    start, (x, y) = time.perf_counter(), data
    chance = torch.Generator().manual_seed(seed)
    weights = [torch.randn(256, 784, generator=chance) * math.sqrt(2 / 784), torch.zeros(256),
               torch.randn(10, 256, generator=chance) * math.sqrt(2 / 256), torch.zeros(10)]
    weights = [w.requires_grad_() for w in weights]
    optimizer = torch.optim.SGD(weights, rate, momentum=0.9)
    steps = epochs * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=chance)
        for step in range(len(x) // BATCH):
            rows = order[step * BATCH:(step + 1) * BATCH]
            loss = torch.nn.functional.cross_entropy(forward(weights, x[rows], k), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return (forward(weights, test[0], k).argmax(1) == test[1]).float().mean().item(), time.perf_counter() - start


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", type=pathlib.Path, required=True)
parser.add_argument("--seeds", default="1,2,3")
arguments = parser.parse_args()
torch.set_num_threads(1)
(x, y), test = [[torch.tensor(part) for part in pair] for pair in mnist(arguments.data)]
chosen = []
for rate, k in itertools.product((0.03, 0.1, 0.3), (2.0, 10.0)):
    accuracy, seconds = train((x[:50_000], y[:50_000]), (x[50_000:], y[50_000:]), rate, k, 2, 0)
    chosen.append((accuracy, rate, k))
    print(f"rate {rate}, k {k}: {100 * accuracy:.2f} % of rows held out, {seconds:.0f} s", flush=True)
_, rate, k = max(chosen)
for seed in map(int, arguments.seeds.split(",")):
    accuracy, seconds = train((x, y), test, rate, k, EPOCHS, seed)
    print(f"seed {seed}, rate {rate}, k {k}: {100 * accuracy:.2f} % of test images, {seconds:.0f} s", flush=True)
