#!/usr/bin/env python3
"""Flips random bits of all files of runs and asks every command: no flip may pass for sound, and none may change an answer.

    python3 bench/flips.py [--flips 10000] [--seed 1] [--binary target/release/onward]

One finished run of each method (with batch normalisation as well) and one that was interrupted. For each flip, one bit of one
file of one run (the file by chance in proportion to the square root of its size), `verify` must find damage, with an exit
code other than 0; one of `predict`, `eval`, `replay`, `show`, by chance, must refuse or answer as before (`replay` may say
besides that it stepped over a snapshot); and one flip in twenty is followed by `resume`, which must refuse or come to the same
params, and leave a run that `verify` calls sound. The lock holds nothing and is left out.
Needs only Python's standard library and a build.
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
OWN = {"relative-activation": "directions = 2", "population": "members = 8", "two-point": "directions = 2", "rso": "hold = 2",
       "snes": "settings = { members = 4 }"}
MLP = 'kind = "mlp"\nhidden = [8]'
CONV = 'kind = "conv"\nchannels = [3]\nbatch_norm = true'
SPEC = """seed = 1
[data]
path = "{data}"
center = "standardize"
limit = 200
{shape}
[model]
{model}
[method]
name = "{method}"
{own}
[train]
batch = 20
steps = {steps}
eval_every = 10
snapshot_every = 8
"""


class Run:
    """One run's folder as it should be, and what the commands say of it."""

    def __init__(self, binary, folder, name, method, model=MLP, interrupted=False):
        self.binary, self.name, self.interrupted = binary, name, interrupted
        self.home, self.data = folder, ROOT / "data/digits.csv"
        self.rows = folder / "rows.csv"
        self.rows.write_text("\n".join(self.data.read_text().splitlines()[:12]) + "\n")
        spec = folder / f"{name}.toml"
        shape = "shape = [8, 8, 1]" if model is CONV else ""
        spec.write_text(SPEC.format(data=self.data, shape=shape, model=model, method=method, own=OWN[method], steps=20))
        self.path = folder / "runs" / name
        self.call("train", spec, "--runs", folder / "runs", "--quiet")
        self.digest = self.call("verify", self.path, "--json")[1]["digest"]
        if interrupted:
            # As a kill after step 18 leaves it: the last two records are not there, nor what a run ends with.
            ledger = self.path / "ledger.bin"
            data, at = ledger.read_bytes(), 8
            for _ in range(19):
                at += 12 + int.from_bytes(data[at:at + 4], "little")
            ledger.write_bytes(data[:at])
            for left in ("manifest.json", "model.safetensors", "report.html"):
                (self.path / left).unlink()
            shutil.rmtree(self.path / "plots")
            lines = (self.path / "metrics.jsonl").read_text().splitlines(keepends=True)
            (self.path / "metrics.jsonl").write_text("".join(line for line in lines if json.loads(line)["step"] <= 18))
        self.kept = folder / "kept" / name
        shutil.copytree(self.path, self.kept)
        files = [f for f in self.kept.rglob("*") if f.is_file() and f.name != "lock"]
        self.files = sorted(f.relative_to(self.kept) for f in files)
        self.weights = [(self.kept / f).stat().st_size ** 0.5 for f in self.files]
        self.answers = {c: self.run(*self.words(c)) for c in self.commands()}

    def commands(self):
        return ["replay", "show"] if self.interrupted else ["predict", "eval", "replay", "show"]

    def words(self, command):
        return [command, self.path, self.rows, "--json"] if command in ("predict", "eval") else [command, self.path, "--json"]

    def run(self, *words):
        done = subprocess.run([self.binary, *words, *([] if words[0] == "show" else ["--threads", "1"])],
                              capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr

    def call(self, *words):
        code, out, err = self.run(*words)
        if code != 0:
            sys.exit(f"{self.name}: {' '.join(map(str, words))}: {err}")
        return code, json.loads(out.splitlines()[-1]) if out else None

    def restore(self):
        shutil.rmtree(self.path)
        shutil.copytree(self.kept, self.path)


def flip(run, chance, counts):
    """One flip; the complaints about it."""
    name = chance.choices(run.files, run.weights)[0]
    path = run.path / name
    data = bytearray(path.read_bytes())
    bit = chance.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    place, wrong = f"{run.name}/{name}, bit {bit} of {8 * len(data)}", []
    code, out, err = run.run("verify", run.path)
    if code not in (2, 3):
        wrong.append(f"{place}: verify ends with {code}: {out}{err}")
    if code == 3 and path.name not in err:
        counts["named another file"] = counts.get("named another file", 0) + 1
    counts[f"verify {code}"] = counts.get(f"verify {code}", 0) + 1
    command = chance.choice(run.commands())
    answer = run.run(*run.words(command))
    same = answer == run.answers[command]
    if command == "replay" and answer[0] == 0:
        said, as_before = (json.loads(a[1].splitlines()[-1]) for a in (answer, run.answers[command]))
        same = [said[key] for key in ("steps", "digest")] == [as_before[key] for key in ("steps", "digest")]
    outcome = "the same answer" if same else "refused" if answer[0] in (2, 3) else "another answer"
    if outcome == "another answer":
        wrong.append(f"{place}: {command} ends with {answer[0]}: {answer[1][:200]}{answer[2]}")
    counts[f"{command}: {outcome}"] = counts.get(f"{command}: {outcome}", 0) + 1
    if chance.random() < 0.05:
        code, out, err = run.run("resume", run.path, "--quiet")
        counts[f"resume {code}"] = counts.get(f"resume {code}", 0) + 1
        after = run.run("verify", run.path, "--json")
        if code == 0 and (after[0] != 0 or json.loads(after[1].splitlines()[-1])["digest"] != run.digest):
            wrong.append(f"{place}: resume ends with 0, and then verify says {after}")
        elif code not in (0, 2, 3):
            wrong.append(f"{place}: resume ends with {code}: {err}")
        run.restore()
    else:
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--flips", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/onward")
    args = parser.parse_args()
    chance, binary, began = random.Random(args.seed), args.binary.resolve(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        runs = [Run(binary, folder, method, method) for method in OWN]
        runs.append(Run(binary, folder, "batch-norm", "relative-activation", CONV))
        runs += [Run(binary, folder, f"cut-{m}", m, interrupted=True) for m in ("relative-activation", "population")]
        wrong, counts = [], {}
        for number in range(args.flips):
            found = flip(runs[number % len(runs)], chance, counts)
            wrong += found
            for complaint in found:
                print(complaint, flush=True)
    for what in sorted(counts):
        print(f"{counts[what]:8}  {what}")
    print(f"{args.flips} flips, {len(wrong)} wrong, {time.monotonic() - began:.0f} s")
    sys.exit(bool(wrong))


main()
