#!/usr/bin/env python3
"""Depth: perceptrons of width 64 with 5 to 100 hidden layers on MNIST, plain and with residual connections, tanh and hard steps, by three methods.

    python3 bench/depth.py run FOLDER --data DIR [--onward PATH] [--only WORD]    # trains what is not trained yet, one cell after the other
    python3 bench/depth.py table FOLDER                                           # the table of docs/depth.md, and FOLDER/depth.csv
    python3 bench/depth.py plot FOLDER --out docs/depth.svg                       # what FOLDER/depth.csv says (needs matplotlib)

A cell is a run of its own in FOLDER. Its budget is a number of steps, chosen so that a cell takes one or two minutes of one core at most; settings are those
of the search in bench/depth.md, made at 10 layers on rows held out of the training rows.
"""
import argparse
import csv
import itertools
import json
import pathlib
import subprocess

DEPTHS = [5, 10, 20, 50, 100]
# For each method: its settings by activation and residual connections, and the steps for each depth.
METHODS = {
    "relative-local": (
        {("tanh", False): {"rate": 0.01, "sigma": 0.01}, ("tanh", True): {"rate": 0.01, "sigma": 0.01},
         ("sign", False): {"rate": 0.003, "sigma": 0.5}, ("sign", True): {"rate": 0.01, "sigma": 2.0}},
        {5: 1172, 10: 1172, 20: 1172, 50: 1172, 100: 1172}),
    "relative-activation": (
        {("tanh", False): {"rate": 0.01, "sigma": 0.05, "directions": 8}, ("tanh", True): {"rate": 0.01, "sigma": 0.05, "directions": 8},
         ("sign", False): {"rate": 0.01, "sigma": 0.5, "directions": 8}, ("sign", True): {"rate": 0.01, "sigma": 0.5, "directions": 8}},
        {5: 2000, 10: 1000, 20: 500, 50: 120, 100: 40}),
    "population": (
        {(a, r): {"rate": 0.004, "sigma": 0.05, "members": 256} for a in ("tanh", "sign") for r in (False, True)},
        {5: 800, 10: 500, 20: 250, 50: 100, 100: 50}),
}
SPEC = """seed = 1
[data]
path = {data}
format = "idx"
scale = 0.012728
center = "mean"
validation = 10000
[model]
kind = "mlp"
hidden = {hidden}
activation = "{activation}"
residual = {residual}
init = "lecun"
[method]
name = "{method}"
{settings}
[train]
batch = 128
steps = {steps}
"""


def cells(only):
    for (method, (settings, steps)), activation, residual, depth in itertools.product(
            METHODS.items(), ("tanh", "sign"), (False, True), DEPTHS):
        name = f"{method}-{activation}-{'residual' if residual else 'plain'}-{depth}"
        if all(word in name.split("-") or word in name for word in only):
            yield name, method, activation, residual, depth, settings[activation, residual], steps[depth]


def run(folder, data, onward, only):
    folder.mkdir(parents=True, exist_ok=True)
    for name, method, activation, residual, depth, settings, steps in cells(only):
        if (folder / name / "result.json").exists():
            continue
        spec = folder / f"{name}.toml"
        own = "\n".join(f"{key} = {value}" for key, value in settings.items())
        spec.write_text(SPEC.format(data=json.dumps(str(data.resolve())), hidden=[64] * depth, activation=activation, steps=steps,
                                    residual=str(residual).lower(), method=method, settings=own))
        done = subprocess.run([onward, "train", spec, "--name", name, "--runs", folder, "--threads", "1", "--no-plots", "--quiet"],
                              capture_output=True, text=True)
        print(name, "done" if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr.strip()}", flush=True)


def table(folder):
    rows = []
    for name, method, activation, residual, depth, settings, steps in cells([]):
        path = folder / name / "result.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text())
        rows.append({"method": method, "activation": activation, "net": "residual" if residual else "plain", "depth": depth,
                     "accuracy": result["scores"].get("test_accuracy"), "loss": result["scores"].get("test_loss"),
                     "steps": result["step"], "passes": result["passes"], "seconds": round(result["seconds"], 1)})
    for path in sorted(folder.glob("backprop-*.json")):
        _, activation, net, depth = path.stem.split("-")
        told = json.loads(path.read_text())
        rows.append({"method": "backprop", "activation": activation, "net": net, "depth": int(depth), "accuracy": told["accuracy"],
                     "loss": None, "steps": told["steps"], "passes": None, "seconds": None})
    if not rows:
        raise SystemExit(f"{folder}: expected runs of this script, found none")
    with open(folder / "depth.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    print("| method | activation | net | " + " | ".join(map(str, DEPTHS)) + " |\n|" + "---|" * (3 + len(DEPTHS)))
    keys = dict.fromkeys((row["method"], row["activation"], row["net"]) for row in rows)
    for key in keys:
        own = {row["depth"]: row for row in rows if (row["method"], row["activation"], row["net"]) == key}
        told = [f"{100 * own[d]['accuracy']:.1f}" if d in own and own[d]["accuracy"] is not None else "" for d in DEPTHS]
        print("| " + " | ".join([*key, *told]) + " |")


def plot(folder, out):
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    plt.rcParams.update({"font.family": "sans-serif", "font.size": 11, "svg.fonttype": "path", "svg.hashsalt": "depth"})
    with open(folder / "depth.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["accuracy"]]
    colours = {"backprop": "#8a8f98", "relative-local": "#0b6e4f", "relative-activation": "#c8553d", "population": "#3d5a98"}
    figure, axes = plt.subplots(2, 2, figsize=(9, 6.4), sharex=True, sharey=True)
    for line, activation in zip(axes, ("tanh", "sign")):
        for axis, net in zip(line, ("plain", "residual")):
            for method, colour in colours.items():
                own = sorted((int(row["depth"]), 100 * float(row["accuracy"])) for row in rows
                             if (row["method"], row["activation"], row["net"]) == (method, activation, net))
                if own:
                    axis.plot(*zip(*own), marker="o", markersize=4, color=colour, linewidth=5 if method == "backprop" else 1.8,
                              alpha=0.5 if method == "backprop" else 1, label=method)
            axis.set_title(f"{'tanh' if activation == 'tanh' else 'hard steps'}, {net}", loc="left", fontsize=11)
            axis.set_xscale("log")
            axis.set_xticks(DEPTHS, [str(depth) for depth in DEPTHS])
            axis.minorticks_off()
            axis.set_ylim(0, 100)
            axis.grid(axis="y", color="#e4e4e4")
            axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[1]:
        axis.set_xlabel("hidden layers")
    for line in axes:
        line[0].set_ylabel("test accuracy, %")
    axes[0][1].legend(frameon=False, loc="lower left", fontsize=10)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None, "Creator": None})


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("what", choices=["run", "table", "plot"])
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--data", type=pathlib.Path)
parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/depth.svg"))
parser.add_argument("--onward", default="target/release/onward")
parser.add_argument("--only", action="append", default=[], help="a word that a cell's name must have; may be given again")
arguments = parser.parse_args()
if arguments.what == "table":
    table(arguments.folder)
elif arguments.what == "plot":
    plot(arguments.folder, arguments.out)
elif arguments.data is None:
    raise SystemExit("--data: expected the folder of MNIST's idx files, found none")
else:
    run(arguments.folder, arguments.data, arguments.onward, arguments.only)
