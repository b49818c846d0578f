#!/usr/bin/env python3
"""A categorical autoencoder by back-propagation through Gumbel-softmax (Jang, Gu and Poole 2016), beside specs/vae-categorical.toml: the same net, batch and pixels drawn once.

    pip install -r bench/peers/requirements-torch.txt
    python3 bench/peers/gumbel_torch.py --data DIR [--decoder 200,200] [--epochs 12] [--grid-epochs 3] [--seeds 1] [--threads 1] [--draws 1000]

Twenty latents of ten values, a linear encoder, uniform prior, analytic divergence; Adam, rate along half a cosine. Rate and temperature (1, or falling from 1 to 0.5) are chosen
by the bound of 100 draws on 2 000 of the last 10 000 training images. Pixels are drawn once by their intensity, with NumPy's noise: the numbers of `onward` are others.
"""
import argparse
import itertools
import math
import pathlib
import time

import numpy as np
import torch
from torch import nn

from idx import read_idx

LATENTS, VALUES, BATCH = 20, 10, 100


def bits(folder):
    noise = np.random.default_rng(0)
    parts = [read_idx(folder, f"{part}-images-idx3-ubyte") for part in ("train", "t10k")]
    return [torch.tensor(noise.random((len(x), 784)) < x.reshape(len(x), -1) / 255).float() for x in parts]


def layers(widths):
    parts = [part for a, b in zip(widths, widths[1:]) for part in (nn.Linear(a, b), nn.ReLU())]
    for own in parts:
        if isinstance(own, nn.Linear):
            nn.init.kaiming_normal_(own.weight, nonlinearity="relu")
            nn.init.zeros_(own.bias)
    return nn.Sequential(*parts[:-1])


def surprise(odds, x):
    return nn.functional.binary_cross_entropy_with_logits(odds, x, reduction="none").sum(-1)


def train(data, hidden, rate, coldest, epochs, seed):
    torch.manual_seed(seed)
    words = LATENTS * VALUES
    encoder, decoder = layers([784, words]), layers([words, *hidden, 784])
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], rate)
    steps = len(data) // BATCH
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    start, step = time.process_time(), 0
    for _ in range(epochs):
        for rows in torch.randperm(len(data))[:steps * BATCH].split(BATCH):
            x = data[rows]
            logits = encoder(x).view(-1, LATENTS, VALUES)
            temperature = coldest ** (step / (epochs * steps))
            z = nn.functional.gumbel_softmax(logits, tau=temperature, dim=-1)
            q = logits.log_softmax(-1)
            divergence = (q.exp() * (q + math.log(VALUES))).sum((1, 2))
            loss = (surprise(decoder(z.view(len(x), words)), x) + divergence).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
    return encoder, decoder, time.process_time() - start


@torch.no_grad()
def bounds(encoder, decoder, data, draws):
    """The negative bound of so many draws, and of one with the analytic divergence."""
    many, one = [], []
    for x in data.split(10):
        q = encoder(x).view(-1, LATENTS, VALUES).log_softmax(-1)
        z = torch.distributions.Categorical(logits=q).sample((draws,))
        hot = nn.functional.one_hot(z, VALUES).float().view(draws * len(x), -1)
        told = -surprise(decoder(hot).view(draws, len(x), -1), x.expand(draws, -1, -1))
        chosen = q.expand(draws, -1, -1, -1).gather(3, z.unsqueeze(-1)).squeeze(-1).sum(-1)
        many.append(math.log(draws) - (told - LATENTS * math.log(VALUES) - chosen).logsumexp(0))
        one.append((q.exp() * (q + math.log(VALUES))).sum((1, 2)) - told[0])
    return torch.cat(many).mean().item(), torch.cat(one).mean().item()


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", type=pathlib.Path, required=True)
parser.add_argument("--decoder", default="")
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--grid-epochs", type=int, default=3)
parser.add_argument("--rates", default="0.001,0.003,0.01")
parser.add_argument("--coldest", default="1,0.5")
parser.add_argument("--seeds", default="1")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--draws", type=int, default=1000)
args = parser.parse_args()
torch.set_num_threads(args.threads)
rows, test = bits(args.data)
hidden = [int(width) for width in args.decoder.split(",") if width]
grid = list(itertools.product(*([float(own) for own in words.split(",")] for words in (args.rates, args.coldest))))
held = []
for rate, coldest in grid if len(grid) > 1 else []:
    encoder, decoder, seconds = train(rows[:50_000], hidden, rate, coldest, args.grid_epochs, 1)
    held.append((bounds(encoder, decoder, rows[50_000:52_000], 100)[0], rate, coldest))
    print(f"rate {rate:g}, temperature 1 to {coldest:g}: {held[-1][0]:.2f} nats on images held out after {args.grid_epochs} epochs, {seconds:.0f} s of processor", flush=True)
rate, coldest = min(held)[1:] if held else grid[0]
for seed in map(int, args.seeds.split(",")):
    encoder, decoder, seconds = train(rows, hidden, rate, coldest, args.epochs, seed)
    many, one = bounds(encoder, decoder, test, args.draws)
    print(f"seed {seed}, rate {rate:g}, temperature 1 to {coldest:g}: {many:.2f} nats by {args.draws} draws, {one:.2f} by one, on the test images after "
          f"{args.epochs} epochs, {seconds:.0f} s of processor for training", flush=True)
