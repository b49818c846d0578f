#!/usr/bin/env python3
"""Delayed copy by twins (`method.credit`): steps until 75, 90 and 99 % of unseen rows are right, for each way that credit reaches earlier steps.

    python3 bench/delays.py FOLDER [--onward PATH] [--only WORD]

Makes its data with bench/streams.py. Runs are kept in FOLDER and not made twice. A run has 256 streams of one bit a step, 2000 rows held out, asked every 50 steps.
"""
import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROWS = 1_030_000
BURSTS = ["method.credit=bursts", "method.sigma=0.1"]
EPISODES = ["method.credit=episodes", "method.sigma=0.1"]
MIXED = "method.lengths=[4,8,16,32]"
# Its name, the delay, settings, steps, seeds.
CASES = [
    ("bursts of 3, GRU", 1, BURSTS + ["method.lengths=3"], 1500, 3),
    ("bursts of 7, GRU", 5, BURSTS + ["method.lengths=7"], 10000, 3),
    ("bursts of 12, GRU", 10, BURSTS + ["method.lengths=12"], 12000, 1),
    ("bursts of 7, LSTM", 5, BURSTS + ["method.lengths=7", "model.cell=lstm"], 10000, 2),
    ("bursts of 4 to 32, GRU", 1, BURSTS + [MIXED], 1500, 1),
    ("bursts of 4 to 32, GRU", 5, BURSTS + [MIXED], 10000, 1),
    ("bursts of 7, cut, GRU", 5, BURSTS + ["method.cut=true"], 3000, 1),
    ("bursts of 12, diagonal", 10, BURSTS + ["method.lengths=12", "model.cell=diagonal"], 3000, 1),
    ("bursts of 22, diagonal", 20, BURSTS + ["method.lengths=22", "model.cell=diagonal"], 3000, 1),
    ("NRES, episodes of 128, GRU", 1, EPISODES + ["method.lengths=128"], 1000, 1),
    ("NRES, episodes of 128, GRU", 5, EPISODES + ["method.lengths=128"], 4000, 1),
    ("PES, windows of 4 in 32, GRU", 1, EPISODES + ["method.lengths=32", "method.window=4"], 1000, 1),
    ("PES, windows of 4 in 32, GRU", 5, EPISODES + ["method.lengths=32", "method.window=4"], 4000, 1),
]


def run(args, number, delay, sets, steps, seed):
    name, data = f"case{number}-{seed}", args.folder / f"copy-{delay}.csv.gz"
    if not data.exists():
        subprocess.run([sys.executable, str(ROOT / "bench/streams.py"), "copy", str(delay), str(data), str(ROWS)], check=True)
    if not (args.folder / name / "result.json").exists():
        sets = sets + [f"data.path={data}", "data.streams=256", f"train.steps={steps}", "train.eval_every=50", f"name={name}"]
        command = [args.onward, "train", str(ROOT / "specs/copy-gru.toml"), "--quiet", "--threads", "1", "--seed", str(seed), "--runs", str(args.folder)]
        subprocess.run(command + [part for s in sets for part in ("--set", s)], check=True, stdout=subprocess.DEVNULL)
    found, seconds = [], 0.0
    for line in open(args.folder / name / "metrics.jsonl"):
        line = json.loads(line)
        if line["name"] == "test_accuracy":
            found.append((line["step"], line["value"]))
        elif line["name"] == "elapsed":
            seconds = max(seconds, line["value"])
    reached = [next((str(step) for step, right in found if right >= share), "–") for share in (0.75, 0.9, 0.99)]
    return " / ".join(reached) + ("" if reached[-1] != "–" else f" ({100 * found[-1][1]:.1f} %)"), 1000 * seconds / steps


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--onward", default=str(ROOT / "target/release/onward"))
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print("| what | delay | steps to 75 / 90 / 99 %, each seed | at most | ms a step |\n|---|---|---|---|---|", flush=True)
    for number, (name, delay, sets, steps, seeds) in enumerate(CASES):
        if args.only in name:
            found = [run(args, number, delay, sets, steps, seed) for seed in range(1, seeds + 1)]
            print(f"| {name} | {delay} | {'; '.join(text for text, _ in found)} | {steps} | {min(ms for _, ms in found):.1f} |", flush=True)


main()
