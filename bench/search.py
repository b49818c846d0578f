#!/usr/bin/env python3
"""Every strategy trains the same small net with the same number of samples; other methods beside them.

    python3 bench/search.py [--seeds 3] [--evaluations 12000] [--hidden '[]'] [--only snes,stp] [--threads 1]
                            [--sigmas 0.02,0.1,0.5] [--batches 256] [--set key=value ...]

Each row is a strategy, a first step and a batch; `evaluations` are those of batches of 256. Needs only Python's standard
library and `cargo build --release`.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPEC = ROOT / "specs/digits-snes.toml"
NAMES = ["cma-es", "sep-cma-es", "lm-ma-es", "snes", "xnes", "pgpe", "open-ai-es", "one-plus-one", "stp", "mistp", "smtp",
         "gld-search", "gld-fast", "mirror-descent", "nesterov-spokoiny", "relative-loss"]
# Methods that see more than one loss per evaluation, or many members at once, with their own settings.
BESIDE = {
    "relative-activation": ["method.sigma=0.1", "method.rate=0.05", "method.directions=16"],
    "population": ["method.sigma=0.05", "method.rate=0.02", "method.members=128"],
    "two-point": ["method.sigma=0.01", "method.rate=0.003", "method.directions=16"],
}


def train(name, seed, steps, sigma, batch, args):
    sets = [f"method.name={name}", f"train.batch={batch}", f"train.steps={steps}", f"model.hidden={args.hidden}",
            "train.eval_every=1000000000", *BESIDE.get(name, []), *(args.sets if name in NAMES else [])]
    sets += [f"method.sigma={sigma}"] if sigma != "default" else []
    with tempfile.TemporaryDirectory() as folder:
        command = [str(ROOT / "target/release/onward"), "train", str(SPEC), "--json", "--seed", str(seed), "--runs", folder,
                   "--threads", str(args.threads)]
        out = subprocess.run(command + [part for s in sets for part in ("--set", s)], capture_output=True, text=True)
    if out.returncode != 0:
        return out.stderr.strip().splitlines()[-1]
    return json.loads(out.stdout.splitlines()[-1])


def row(name, sigma, batch, args):
    short = [train(name, 1, steps, sigma, batch, args) for steps in (1, 9)]
    if isinstance(short[0], str):
        return f"| {name} | {sigma} | {batch} | | | {short[0].split('method.name: ')[-1]} | | | |"
    generation = (short[1]["passes"] - short[0]["passes"]) / 8
    batch = short[1]["samples"] // short[1]["passes"]  # no more than there are rows
    steps = max(1, round(args.evaluations * 256 / (generation * batch)))
    runs = [train(name, seed, steps, sigma, batch, args) for seed in range(1, args.seeds + 1)]
    if any(isinstance(r, str) for r in runs):
        return f"| {name} | {sigma} | {batch} | {runs} |"
    accuracies = [100 * r["test_accuracy"] for r in runs]
    last = runs[-1]
    return (f"| {name} | {sigma} | {batch} | {generation:g} | {steps} | {statistics.mean(accuracies):.1f} % "
            f"({min(accuracies):.1f} to {max(accuracies):.1f}) | {statistics.mean(r['test_loss'] for r in runs):.2f} "
            f"| {last['samples']:.3g} | {statistics.median(r['seconds'] for r in runs):.1f} s |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=12_000)
    parser.add_argument("--hidden", default="[]")
    parser.add_argument("--only", default=",".join([*NAMES, *BESIDE]))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sigmas", default="default")
    parser.add_argument("--batches", default="256")
    parser.add_argument("--set", dest="sets", action="append", default=[])
    args = parser.parse_args()
    print("| strategy | sigma | batch | candidates | generations | test accuracy | test loss | samples | median time |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in args.only.split(","):
        for sigma in args.sigmas.split(","):
            for batch in args.batches.split(","):
                print(row(name, sigma, int(batch), args), flush=True)


main()
