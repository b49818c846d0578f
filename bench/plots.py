#!/usr/bin/env python3
"""Draws the pictures of docs/integers.md and docs/spiking.md (needs matplotlib).

    cargo run --release -p onward-integer --example bytes -- input.txt test=1 > bytes.txt       # tinyshakespeare
    cargo run --release -p onward-integer --example mnist -- FOLDER test=1 > mnist.txt
    python3 bench/plots.py integers bytes.txt mnist.txt --out docs/integers.svg
    python3 bench/plots.py spiking --out docs/spiking.svg

Lines beside them, and the accuracies of the second picture, are those of bench/integers.md and bench/spiking.md.
"""
import argparse
import pathlib
import re

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

plt.rcParams.update({"svg.hashsalt": "onward", "svg.fonttype": "path", "font.family": "sans-serif", "font.size": 9,
                     "axes.spines.top": False, "axes.spines.right": False})
BLUE, BROWN, GREEN, GREY = "#0b62a8", "#b3430b", "#00745a", "#5b6168"


def level(axes, value, words, colour=GREY, side="bottom"):
    """A level that others reach, with its words at the right, whose given side is at the line."""
    axes.axhline(value, color=colour, linewidth=1, linestyle="--")
    axes.annotate(words, (1, value), xycoords=("axes fraction", "data"), ha="right", va=side, color=colour)


def integers(files):
    text, images = (pathlib.Path(file).read_text() for file in files)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.1), layout="constrained")
    read = re.findall(r"(\d+) bytes: [\d.]+ bits; held out: ([\d.]+)", text)
    left.plot([int(n) / 1e6 for n, _ in read], [float(bits) for _, bits in read], color=BLUE, marker="o", markersize=3)
    for value, words, colour, side in ((3.598, "bigrams of the same text", GREY, "bottom"), (3.110, "gzip -9", GREY, "bottom"),
                                       (2.377, "backprop through 16 bytes, in the end", BROWN, "top")):
        level(left, value, words, colour, side)
    left.set(ylim=(2.2, 3.75), title="tinyshakespeare, held out", xlabel="million bytes read", ylabel="bits a byte")
    told = re.findall(r"epoch (\d+): .*held out: [\d.]+ bits, ([\d.]+) % right; (\d+) weights", images)
    right.plot([int(n) for n, *_ in told], [float(share) for _, share, _ in told], color=BLUE, marker="o", markersize=3)
    level(right, 98.09, "backprop, in the end", BROWN)
    right.set(title="MNIST, held out", xlabel="passes over 50 000 images", ylabel="right, %")
    return figure


def steps(currents, leak=0.5, threshold=1.0):
    """Membranes before a neuron fires, and whether it does, at every step."""
    v, all_v, fired = 0.0, [], []
    for x in currents:
        v += leak * (x - v)
        all_v.append(v)
        fired.append(v > threshold)
        v = 0.0 if fired[-1] else v
    return all_v, fired


def spiking(_):
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.1), layout="constrained")
    currents = [1.3, 1.3, 1.4, 1.2, 1.3, 1.5, 1.2, 1.3, 1.4, 1.3, 1.3, 1.2]
    at, sigma = 3, 0.5
    for place, (sign, colour, words) in enumerate(((0, GREY, "as it is"), (1, BLUE, "current at step 4 larger by σ"), (-1, BROWN, "smaller by σ"))):
        changed = [x + sign * sigma * (t == at) for t, x in enumerate(currents)]
        membrane, fired = steps(changed)
        left.plot(range(1, len(currents) + 1), membrane, color=colour, label=words, linewidth=2.4 if sign == 0 else 1.2)
        spikes = [t + 1 for t, own in enumerate(fired) if own]
        left.plot(spikes, [1.62 - 0.09 * place] * len(spikes), linestyle="", marker="|", markersize=7, color=colour)
    left.axhline(1.0, color=GREY, linewidth=0.8, linestyle=":")
    left.legend(frameon=False, fontsize=7.5, loc="lower right")
    left.set(title="A neuron run three times", xlabel="step", ylabel="membrane; spikes above", ylim=(0, 1.7))
    for name, operations, accuracy, colour, side in (("latencies", 40_998, 96.67, BLUE, 1), ("rates", 215_537, 97.77, GREEN, -1), ("currents", 207_489, 98.02, BLUE, -1)):
        right.plot([operations / 1000], [accuracy], marker="o", linestyle="", color=colour)
        right.annotate(name, (operations / 1000, accuracy), xytext=(6 * side, -3), textcoords="offset points", ha="left" if side > 0 else "right", color=colour)
    level(right, 98.14, "currents, backprop with a surrogate", BROWN)
    right.axvline(203.264, color=GREY, linewidth=1, linestyle=":")
    right.annotate("products without spikes", (203.264, 96.5), xytext=(-4, 0), textcoords="offset points", ha="right", color=GREY, fontsize=8)
    right.set(title="MNIST, 256 neurons", xlabel="thousand synaptic operations an image", ylabel="test accuracy, %", xlim=(0, 230), ylim=(96.3, 98.4))
    return figure


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("what", choices=["integers", "spiking"])
parser.add_argument("files", nargs="*")
parser.add_argument("--out", type=pathlib.Path, required=True)
arguments = parser.parse_args()
{"integers": integers, "spiking": spiking}[arguments.what](arguments.files).savefig(arguments.out, metadata={"Date": None})
