#!/usr/bin/env python3
"""The backpropagation line: the same multilayer perceptrons trained by SGD with momentum, in NumPy on one thread.

    pip install -r bench/peers/requirements.txt
    python3 bench/peers/backprop_mlp.py digits [--data data/digits.csv] [--hidden 128]     # '' for a linear model
    python3 bench/peers/backprop_mlp.py mnist --data DIR      # the four idx files, also as .gz

Rate and batch come from a small grid, judged on a fifth of the training rows; the test rows are used once per seed.
Digits are split and standardized exactly as `onward` does it; the rate falls along half a cosine as there.
"""
import argparse
import csv
import itertools
import math
import os
import pathlib
import statistics
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import blake3  # noqa: E402
import numpy as np  # noqa: E402

from idx import read_idx  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOMENTUM = 0.9
# Two-sided 95 % points of Student's t for 1, 2, … degrees of freedom.
STUDENT = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45]


def held_out(rows, count, key=0):
    """Which rows `onward` holds out: the first `count` in the order of a keyed hash of their index."""
    def turn(row):
        data = key.to_bytes(8, "little") + row.to_bytes(8, "little")
        return blake3.blake3(data, derive_key_context="onward 2026 split v1").digest(), row

    mask = np.zeros(rows, bool)
    mask[sorted(range(rows), key=turn)[:count]] = True
    return mask


def split(x, y, share=0.2, key=0):
    mask = held_out(len(x), max(round(len(x) * share), 1), key)
    return (x[~mask], y[~mask]), (x[mask], y[mask])


def standardize(train, test):
    mean, deviation = train[0].mean(0, dtype=np.float64), train[0].std(0, dtype=np.float64)
    deviation[deviation == 0] = 1
    return tuple((((x - mean) / deviation).astype(np.float32), y) for x, y in (train, test))


def read_digits(path):
    table = np.array([[float(v) for v in row] for row in csv.reader(open(path))], np.float32)
    return standardize(*split(table[:, :-1], table[:, -1].astype(int)))


def read_mnist(folder):
    def part(name):
        images, labels = read_idx(folder, f"{name}-images-idx3-ubyte"), read_idx(folder, f"{name}-labels-idx1-ubyte")
        return (images.reshape(len(images), -1) / np.float32(255)).astype(np.float32), labels.astype(int)

    (x, y), (test_x, test_y) = part("train"), part("t10k")
    return (x - x.mean(), y), (test_x - x.mean(), test_y)


def train(widths, data, test, rate, batch, epochs, seed):
    """Accuracy on `test` after `epochs`, the samples seen and the seconds taken."""
    start, (x, y) = time.perf_counter(), data
    generator = np.random.default_rng(seed)
    net = [[(generator.standard_normal((i, o)) * math.sqrt(2 / i)).astype(np.float32), np.zeros(o, np.float32)]
           for i, o in itertools.pairwise(widths)]
    velocity = [[np.zeros_like(p) for p in layer] for layer in net]
    steps, step = epochs * (len(x) // batch), 0
    for _ in range(epochs):
        order = generator.permutation(len(x))
        for first in range(0, len(x) - batch + 1, batch):
            rows = order[first:first + batch]
            now = np.float32(rate * (0.5 + 0.5 * math.cos(math.pi * step / steps)))
            for layer, old, gradient in zip(net, velocity, gradients(net, x[rows], y[rows])):
                for p, v, g in zip(layer, old, gradient):
                    v *= np.float32(MOMENTUM)
                    v -= now * g
                    p += v
            step += 1
    right = (activations(net, test[0])[-1].argmax(1) == test[1]).mean()
    return 100 * right, steps * batch, time.perf_counter() - start


def activations(net, x):
    all_layers = [x]
    for i, (w, b) in enumerate(net):
        z = all_layers[-1] @ w + b
        all_layers.append(z if i == len(net) - 1 else np.maximum(z, 0))
    return all_layers


def gradients(net, x, y):
    layers = activations(net, x)
    p = np.exp(layers[-1] - layers[-1].max(1, keepdims=True))
    g = p / p.sum(1, keepdims=True)
    g[np.arange(len(y)), y] -= 1
    g /= np.float32(len(y))
    found = []
    for (w, _), h in zip(reversed(net), reversed(layers[:-1])):
        found.append((h.T @ g, g.sum(0)))
        g = (g @ w.T) * (h > 0)
    return found[::-1]


def report(name, widths, data, test, rates, batches, grid_epochs, epochs, seeds):
    inner, judge = split(*data, key=1)
    grid = {(rate, batch): train(widths, inner, judge, rate, batch, grid_epochs, 0)[0]
            for rate in rates for batch in batches}
    rate, batch = max(grid, key=grid.get)
    runs = [train(widths, data, test, rate, batch, epochs, seed) for seed in range(1, seeds + 1)]
    accuracies = [r[0] for r in runs]
    half = STUDENT[seeds - 2] * statistics.stdev(accuracies) / math.sqrt(seeds)
    print(f"grid (rate, batch: % on held-out training rows): "
          + ", ".join(f"{r:g}, {b}: {a:.2f}" for (r, b), a in grid.items()))
    print(f"| {name} | {'-'.join(map(str, widths))} | {statistics.mean(accuracies):.2f} ± {half:.2f} | {seeds} | "
          f"{rate:g} | {batch} | {epochs} | {runs[0][1]:,} | {statistics.median(r[2] for r in runs):.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["digits", "mnist"])
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--hidden", default="128", help="widths of the digits' hidden layers, with commas between")
    args = parser.parse_args()
    if args.task == "digits":
        data, test = read_digits(args.data or ROOT / "data/digits.csv")
        hidden = [int(n) for n in args.hidden.split(",") if n]
        report("digits", [64, *hidden, 10], data, test, [0.03, 0.1, 0.2, 0.4], [32, 100], 30, 30, args.seeds or 5)
    elif args.data is None:
        parser.error("mnist needs --data, the folder with the four idx files")
    else:
        data, test = read_mnist(args.data)
        report("MNIST", [784, 256, 256, 10], data, test, [0.03, 0.1], [100], 3, 10, args.seeds or 3)


if __name__ == "__main__":
    main()
