#!/usr/bin/env python3
"""Kills runs at random moments, lets them go on, and compares the end with that of an undisturbed run.

    python3 bench/kill.py [--rounds 200] [--seed 1] [--binary target/release/onward]

A round trains with one of the three methods in turn, ends the process with SIGKILL at a random moment, and goes on with
`train --resume`, which may be killed again, until a process reaches the end. Then the ledger's bytes, the digest that
`verify` finds and the rows of metrics must be those of the undisturbed run. Needs only Python's standard library and the
release build (`cargo build --release`).
"""
import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
METHODS = {"relative-activation": "directions = 4", "population": "members = 32", "two-point": "directions = 4"}
SPEC = """seed = 1

[data]
path = "{data}"
center = "standardize"

[model]
kind = "mlp"
hidden = [32]

[method]
name = "{method}"
{own}

[train]
batch = 100
steps = 3000
snapshot_every = 250
"""


class Method:
    """One method's spec and its undisturbed run."""

    def __init__(self, binary, folder, name):
        self.binary, self.name = binary, name
        self.spec = folder / f"{name}.toml"
        self.spec.write_text(SPEC.format(data=ROOT / "data/digits.csv", method=name, own=METHODS[name]))
        began = time.monotonic()
        undisturbed = folder / f"undisturbed-{name}"
        if self.start(undisturbed).wait() != 0:
            sys.exit(f"{name}: the undisturbed run failed")
        self.seconds = time.monotonic() - began
        self.end = self.outcome(undisturbed)
        if isinstance(self.end, str):
            sys.exit(f"{name}: the undisturbed run is not sound: {self.end}")

    def start(self, runs):
        command = [self.binary, "train", self.spec, "--resume", "--quiet", "--runs", runs]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def outcome(self, runs):
        """What must be the same: ledger, digest, metrics without clock and signal-to-noise, no further run folder; or the
        complaint of `verify`."""
        run = runs / self.name
        verified = subprocess.run([self.binary, "verify", run, "--json"], capture_output=True, text=True)
        if verified.returncode != 0:
            return verified.stderr
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        # A resumed run measures time anew, and signals only in the steps that it takes itself.
        anew = ("elapsed", "signal_to_noise")
        rows = [(row["step"], row["name"], row["value"], row["unit"]) for row in rows if row["name"] not in anew]
        folders = sorted(path.name for path in runs.iterdir())
        return (run / "ledger.bin").read_bytes(), json.loads(verified.stdout)["digest"], rows, folders


def round_of(method, runs, chance):
    """One round: how many kills hit a living process, and whether the end is the undisturbed one."""
    kills = 0
    while True:
        process = method.start(runs)
        # After the first kill, a process is killed again or may reach the end, as chance has it.
        moment = chance.uniform(0, method.seconds) if kills == 0 or chance.random() < 0.5 else None
        try:
            _, complaint = process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            continue
        if process.returncode != 0:
            print(f"  {method.name}: {complaint.decode().strip()}")
            return kills, False
        return kills, method.outcome(runs) == method.end


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/onward")
    args = parser.parse_args()
    chance = random.Random(args.seed)
    began = time.monotonic()
    kills = hit = mismatches = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        methods = [Method(args.binary.resolve(), folder, name) for name in METHODS]
        for number in range(args.rounds):
            runs = folder / "killed"
            found, same = round_of(methods[number % len(methods)], runs, chance)
            kills, hit, mismatches = kills + found, hit + (found > 0), mismatches + (not same)
            if not same:
                print(f"  round {number}, {methods[number % len(methods)].name}: another end after {found} kills")
            shutil.rmtree(runs)
    print(f"{args.rounds} rounds, {hit} of them hit by {kills} kills in all, {mismatches} mismatches, {time.monotonic() - began:.0f} s")
    sys.exit(mismatches > 0)


main()
