#!/usr/bin/env python3
"""Runs a spec with several seeds and prints the mean test accuracy with its 95 % interval, as rows of a table.

    python3 bench/seeds.py specs/digits.toml [--seeds 5] [--threads N] [--set key=value ...] [--grid key=a,b,c ...]

Every combination of the grids' values is a row. Needs only Python's standard library and `cargo build --release`.
"""
import argparse
import itertools
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Two-sided 95 % points of Student's t for 1, 2, … degrees of freedom.
STUDENT = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26]


def run(spec, seed, sets, threads, folder):
    command = [str(ROOT / "target/release/onward"), "train", spec, "--json", "--seed", str(seed), "--runs", folder]
    command += [part for s in sets for part in ("--set", s)]
    command += ["--threads", str(threads)] if threads else []
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode == 2 and "finite loss" in out.stderr:
        return None  # diverged: a result, not a failure of the bench
    if out.returncode != 0:
        sys.exit(out.stderr)
    return json.loads(out.stdout.splitlines()[-1])


def row(spec, sets, seeds, threads):
    with tempfile.TemporaryDirectory() as folder:
        results = [run(spec, seed, sets, threads, folder) for seed in range(1, seeds + 1)]
    found = [r for r in results if r]
    name = ", ".join(sets) or "as it stands"
    if not found:
        return f"| {name} | diverged | | | | |"
    accuracies = [100 * r["test_accuracy"] for r in found]
    text = f"{statistics.mean(accuracies):.2f} %"
    if len(found) > 1:
        text += f" ± {STUDENT[len(found) - 2] * statistics.stdev(accuracies) / math.sqrt(len(found)):.2f}"
    if len(found) < seeds:
        text += f" ({seeds - len(found)} of {seeds} diverged)"
    one = found[-1]
    seconds = statistics.median(r["seconds"] for r in found)
    return f"| {name} | {text} | {one['passes']:,} | {one['samples']:.3g} | {one['flops']:.3g} | {seconds:.1f} s |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("spec")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--set", dest="sets", action="append", default=[])
    parser.add_argument("--grid", dest="grids", action="append", default=[])
    args = parser.parse_args()
    axes = [[f"{key}={v}" for v in values.split(",")] for key, values in (g.split("=", 1) for g in args.grids)]
    print(f"`{args.spec}` {' '.join(args.sets)}, {args.seeds} seeds\n")
    print("| setting | test accuracy | passes | samples | flop | median time |")
    print("|---|---|---|---|---|---|")
    for values in itertools.product(*axes):
        print(row(args.spec, args.sets + list(values), args.seeds, args.threads), flush=True)


main()
