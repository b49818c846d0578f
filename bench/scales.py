#!/usr/bin/env python3
"""Sizes of perturbations that are learned (`method.scales`), beside fixed ones: what it does for the two methods that have it.

    python3 bench/scales.py FOLDER --data DIR [--onward PATH] [--seeds 3] [--only WORD] > table.md

DIR holds the four idx files of MNIST. Each case is run with every choice of scales and every rate of its list, three seeds each; of each choice the rate is taken
whose accuracy on rows held out of the training rows is best, and its accuracy on the test rows is printed. Runs are kept in FOLDER and not made twice.
"""
import argparse
import itertools
import json
import pathlib
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
DIGITS = ["data.validation=0.2"]
MNIST = ["data.validation=10000"]
SITES, MLP = "specs/digits.toml", "specs/mnist-mlp.toml"
PEOPLE = "specs/digits-population.toml"
STEPS = ["model.activation=sign"]
DEEP = ["model.hidden=[64,64,64,64,64]", "model.activation=tanh"]
# What it is, the spec, its settings, rates.
CASES = [
    ("digits, one hidden layer", SITES, DIGITS, [0.03, 0.1, 0.3]),
    ("the same, hard steps, σ 0.3", SITES, DIGITS + STEPS + ["method.sigma=0.3"], [0.01, 0.03, 0.1]),
    ("the same, hard steps, σ wrong: 3 and 0.03", SITES, DIGITS + STEPS + ["method.sigma=[3.0,0.03]"], [0.01, 0.03, 0.1]),
    ("digits, five tanh layers, σ 0.1", SITES, DIGITS + DEEP, [0.01, 0.03, 0.1]),
    ("digits, five hard layers, σ 0.5", SITES, DIGITS + DEEP[:1] + STEPS + ["method.sigma=0.5"], [0.003, 0.01, 0.03]),
    ("MNIST, 256-256, 4 epochs", MLP, MNIST + ["train.epochs=4"], [0.01, 0.03]),
    ("digits, population of 128, signs", PEOPLE, DIGITS + ["method.members=128"], [0.005, 0.01, 0.02]),
    ("digits, population of 128, binomial", PEOPLE, DIGITS + ["method.members=128", "method.noise=binomial"], [0.005, 0.01, 0.02]),
    ("digits, population of 128, binomial, three tanh layers, 500 steps", PEOPLE,
     DIGITS + ["method.members=128", "method.noise=binomial", "model.activation=tanh", "model.hidden=[32,32,32]", "train.steps=500"],
     [0.01, 0.03]),
    ("MNIST, population of 64, 32 units, binomial, 300 steps", PEOPLE,
     MNIST + ["data.path=@", "data.format=idx", "data.scale=0.012728", "data.center=mean", "method.members=64", "method.noise=binomial",
              "train.steps=300"], [0.01, 0.03]),
]


def run(args, case, spec, sets, scales, rate, seed):
    name = f"{case}-{scales}-{rate}-{seed}"
    folder = args.folder / name
    if not (folder / "result.json").exists():
        sets = [s.replace("@", str(args.data)) for s in sets]
        if spec == MLP:
            sets = sets + [f"data.path={args.data}"]
        sets = sets + [f"method.rate={rate}", f"name={name}"] + ([f"method.scales={scales}"] if scales != "fixed" else [])
        command = [args.onward, "train", str(ROOT / spec), "--quiet", "--seed", str(seed), "--runs", str(args.folder), "--threads", "1"]
        found = subprocess.run(command + [part for s in sets for part in ("--set", s)], capture_output=True, text=True)
        if found.returncode == 2 and "diverged" in found.stderr + found.stdout:
            return None
        if found.returncode:
            raise SystemExit(found.stderr)
    last = {}
    for line in open(folder / "metrics.jsonl"):
        line = json.loads(line)
        last[line["name"]] = line["value"]
    return last


def row(args, case, spec, sets, rates, scales):
    best = None
    for rate in rates:
        runs = [run(args, case, spec, sets, scales, rate, seed) for seed in range(1, args.seeds + 1)]
        if None in runs:
            continue
        held = statistics.mean(r["validation_accuracy"] for r in runs)
        if best is None or held > best[0]:
            best = held, rate, runs
    if best is None:
        return f"| {scales} | all diverged | | | |"
    held, rate, runs = best
    test = [100 * r["test_accuracy"] for r in runs]
    spread = f" ({', '.join(f'{t:.2f}' for t in test)})"
    return f"| {scales} | {rate} | {100 * held:.2f} % | **{statistics.mean(test):.2f} %**{spread} | {statistics.mean(r['train_loss'] for r in runs):.4f} |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--onward", default=str(ROOT / "target/release/onward"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    for number, (case, spec, sets, rates) in enumerate(CASES):
        if args.only not in case:
            continue
        print(f"\n{case}\n\n| scales | rate | held-out rows | test rows (each seed) | training loss |\n|---|---|---|---|---|", flush=True)
        choices = ["fixed"] if case.endswith("signs") else ["fixed", "learned", "natural"]
        for scales in choices:
            print(row(args, f"case{number}", spec, sets, rates, scales), flush=True)


if __name__ == "__main__":
    main()
