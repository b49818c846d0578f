#!/usr/bin/env python3
"""Back-propagation beside `relative-local` on the same nets: SGD with momentum 0.9 and half a cosine, one thread.

    pip install -r bench/peers/requirements-torch.txt
    python3 bench/peers/local_torch.py NET --data DIR [--seeds 1,2,3] [--rates 0.05,0.1,0.2] [--batch 64] [--epochs 5] [--grid-epochs 2]
    python3 bench/peers/local_torch.py digits --data data/digits.csv --batch 32 --epochs 20 --grid-epochs 20 --rates 0.02,0.05,0.1,0.2,0.4      # specs/digits-conv-local.toml
    python3 bench/peers/local_torch.py rows --data DIR --out FOLDER     # idx files: the first 50 000 training images, and the last 10 000 as test images

NET is `residual` (specs/mnist-residual-local.toml), `conv` (specs/mnist-conv-local.toml), or a perceptron's hidden widths with commas between. The rate is chosen on the last
10 000 training images (of the digits on a fifth of the training rows); with one rate given, nothing is chosen.
"""
import argparse
import pathlib
import statistics
import time

import torch
from torch import nn

from backprop_mlp import read_digits, split
from depth_torch import mnist
from idx import read_idx


class Convolutions(nn.Module):
    """3×3 convolutions without bias, an average pool after some, batch normalisation, residual connections; the mean over positions into a linear map."""

    def __init__(self, channels, pools, sources):
        super().__init__()
        self.pools, self.sources = pools, sources
        before = [1, *channels[:-1]]
        self.maps = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in zip(before, channels))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in channels)
        self.ways = nn.ModuleDict({str(layer): nn.Sequential(nn.Conv2d(channels[source], channels[layer], 1, bias=False), nn.BatchNorm2d(channels[layer]))
                                   for layer, source in enumerate(sources) if source >= 0 and channels[source] != channels[layer]})
        self.head = nn.Linear(channels[-1], 10, bias=False)

    def forward(self, x):
        side = int(x.shape[1] ** 0.5)
        x, answers = x.view(-1, 1, side, side), []
        for layer, (own, norm) in enumerate(zip(self.maps, self.norms)):
            x = own(x)
            if layer in self.pools:
                x = nn.functional.avg_pool2d(x, 2)
            x = norm(x)
            if self.sources[layer] >= 0:
                way = answers[self.sources[layer]]
                while way.shape[2] != x.shape[2]:
                    way = nn.functional.avg_pool2d(way, 2)
                x = x + (self.ways[str(layer)](way) if str(layer) in self.ways else way)
            answers.append(x)
            x = torch.relu(x)
        return self.head(x.mean((2, 3)))


def perceptron(hidden):
    widths = [784, *hidden, 10]
    layers = [part for a, b in zip(widths, widths[1:]) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def made(name, seed):
    torch.manual_seed(seed)
    nets = {"residual": lambda: Convolutions([16] * 3 + [32] * 6, [2, 4], [-1, -1, 0, -1, 2, -1, 4, -1, 6]),
            "conv": lambda: Convolutions([16] * 6, [1, 3], [-1] * 6),
            "digits": lambda: Convolutions([16] * 4, [1], [-1] * 4)}
    net = nets[name]() if name in nets else perceptron([int(width) for width in name.split(",")])
    for own in net.modules():
        if isinstance(own, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(own.weight, nonlinearity="relu")
            if own.bias is not None:
                nn.init.zeros_(own.bias)
    return net


def train(name, data, test, rate, batch, epochs, seed):
    """Accuracy on `test`, and the processor seconds of training."""
    start, (x, y), net = time.process_time(), data, made(name, seed)
    optimizer = torch.optim.SGD(net.parameters(), rate, momentum=0.9)
    steps = len(x) // batch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    chance = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=chance)
        for step in range(steps):
            rows = order[step * batch:(step + 1) * batch]
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    seconds = time.process_time() - start
    net.eval()
    with torch.no_grad():
        right = sum((net(rows).argmax(1) == labels).sum().item() for rows, labels in zip(test[0].split(1000), test[1].split(1000)))
    return 100 * right / len(test[1]), seconds


def write_rows(data, out):
    """The idx files of the first 50 000 training images, and of the last 10 000 as if they were test images."""
    out.mkdir(parents=True, exist_ok=True)
    for kind, file in ("images", "images-idx3-ubyte"), ("labels", "labels-idx1-ubyte"):
        rows = read_idx(data, f"train-{file}")
        for part, own in ("train", rows[:50_000]), ("t10k", rows[50_000:]):
            head = bytes([0, 0, 8, own.ndim]) + b"".join(n.to_bytes(4, "big") for n in own.shape)
            (out / f"{part}-{file}").write_bytes(head + own.tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--rates", default="0.05,0.1,0.2")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--grid-epochs", type=int, default=2)
    args = parser.parse_args()
    if args.net == "rows":
        return write_rows(args.data, args.out)
    torch.set_num_threads(1)
    own, test = read_digits(args.data) if args.net == "digits" else mnist(args.data)
    inner, judge = split(*own, key=1) if args.net == "digits" else ([part[:50_000] for part in own], [part[50_000:] for part in own])
    own, inner, judge, test = [[torch.tensor(part) for part in pair] for pair in (own, inner, judge, test)]
    rates = [float(rate) for rate in args.rates.split(",")]
    held = []
    for rate in rates if len(rates) > 1 else []:
        held.append((*train(args.net, inner, judge, rate, args.batch, args.grid_epochs, 1), rate))
        print(f"{args.net}, rate {rate:g}: {held[-1][0]:.2f} % of the images held out after {args.grid_epochs} epochs, {held[-1][1]:.0f} s", flush=True)
    rate = max(held)[2] if held else rates[0]
    found = []
    for seed in map(int, args.seeds.split(",")):
        found.append(train(args.net, own, test, rate, args.batch, args.epochs, seed))
        print(f"{args.net}, rate {rate:g}, seed {seed}: {found[-1][0]:.2f} % of the test images after {args.epochs} epochs, {found[-1][1]:.0f} s", flush=True)
    print(f"{args.net}: mean {statistics.mean(own[0] for own in found):.2f} %, median {statistics.median(own[1] for own in found):.0f} s")


main()
