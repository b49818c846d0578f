#!/usr/bin/env python3
"""Runs a spec with several seeds and prints the mean test accuracy with its 95 % interval.

    python3 bench/seeds.py specs/digits.toml [--seeds 5] [--set key=value ...] [--threads N]

Needs only Python's standard library and the release build (`cargo build --release`).
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Two-sided 95 % points of Student's t for 1, 2, … degrees of freedom.
STUDENT = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26]


def run(spec, seed, sets, threads, folder):
    command = [str(ROOT / "target/release/onward"), "train", spec, "--json", "--seed", str(seed), "--runs", folder]
    for s in sets:
        command += ["--set", s]
    if threads:
        command += ["--threads", str(threads)]
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode != 0:
        sys.exit(out.stderr)
    return json.loads(out.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("spec")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", dest="sets", action="append", default=[])
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = [run(args.spec, seed, args.sets, args.threads, folder) for seed in range(1, args.seeds + 1)]
    accuracies = [100 * r["test_accuracy"] for r in results]
    mean = sum(accuracies) / len(accuracies)
    text = f"{mean:.2f} %"
    if len(accuracies) > 1:
        deviation = math.sqrt(sum((a - mean) ** 2 for a in accuracies) / (len(accuracies) - 1))
        text += f" ± {STUDENT[len(accuracies) - 2] * deviation / math.sqrt(len(accuracies)):.2f}"
    last = results[-1]
    print(f"{args.spec} {' '.join(args.sets)}: {text}  {['%.2f' % a for a in accuracies]}")
    print(f"  per run: {last['steps']} steps, {last['passes']} passes, {last['samples']:.3g} samples, "
          f"{last['flops']:.3g} flop, {sorted(r['seconds'] for r in results)[len(results) // 2]:.1f} s")


main()
