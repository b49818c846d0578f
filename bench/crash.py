#!/usr/bin/env python3
"""Kills a run or a study at each system call that changes files, or lets that call fail, and compares the end.

    python3 bench/crash.py [--seconds 50] [--binary target/release/onward] [--only two-point]

For each method, and for a study, an undisturbed run under `strace` tells which calls there are: those that make, write,
cut, sync, rename and remove files. Then the run is begun anew for each of them, and `strace` kills the process when it gets
there, or lets the call fail (`ENOSPC` where something is written, `EIO` elsewhere). After a kill, going on has to end as the
undisturbed run: the same ledger or losses, the same model, the same metrics, nothing left over. After a failure there has
to be one sentence and exit code 2, or the right end at once; and going on has to end as the undisturbed run.

With `--seconds`, as many of these trials as the time allows are made, in an order that a fixed seed shuffles. Needs
`strace`, and the right to use it; without these the script says SKIPPED and why, and ends with 0.
"""
import argparse
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter

ROOT = pathlib.Path(__file__).resolve().parent.parent
METHODS = {
    "relative-activation": "directions = 2",
    "population": "members = 8",
    "two-point": "directions = 2",
    "rso": "hold = 2",
    "snes": "settings = { members = 6 }",
}
SPEC = """seed = 1
data = {{ path = "{data}", limit = 100 }}
model = {{ kind = "mlp", hidden = [4] }}
train = {{ batch = 20, steps = 9, snapshot_every = 3, eval_every = 3 }}

[method]
name = "{method}"
{own}
"""
STUDY = ["minimize", "--goal", "min", "--space", "x:-1..1", "--space", "y:-1..1", "--budget", "12", "--seed", "3", "--quiet",
         "--resume", "--out"]
PROGRAM = ["--", "sh", "-c", "echo note >&2; echo $ONWARD_X"]
CALLS = ["openat", "write", "writev", "ftruncate", "fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink",
         "unlinkat", "mkdir", "mkdirat", "rmdir"]
TRACE = ["strace", "-f", "-qq"]


def run(command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, **options)


class Subject:
    """A run of one method, or a study: how it is begun and gone on with, and what it has to come to."""

    def __init__(self, binary, folder, name):
        self.name, self.folder = name, folder / name
        self.folder.mkdir()
        self.place = self.folder / "now"
        if name == "study":
            self.command, own = [binary, *STUDY, self.place, *PROGRAM], "--detach-on=execve"
        else:
            spec = self.folder / "spec.toml"
            spec.write_text(SPEC.format(data=ROOT / "data/digits.csv", method=name, own=METHODS[name]))
            self.command = [binary, "train", spec, "--resume", "--quiet", "--threads", "1", "--runs", self.place]
            own = "--seccomp-bpf"
        # The programs that a study starts are let go; nothing else stops a process that changes no file.
        self.trace = [*TRACE, own]
        self.verify = [binary, "verify", self.place / "spec", "--quiet", "--threads", "1"]
        log = self.folder / "log"
        done = run([*self.trace, "-o", log, "-e", "trace=" + ",".join(CALLS), *self.command])
        if done.returncode != 0:
            sys.exit(f"{name}: the undisturbed run failed: {done.stderr}")
        self.end = self.outcome()
        self.calls = calls(log.read_text())
        self.clear()

    def clear(self):
        shutil.rmtree(self.place, ignore_errors=True)

    def outcome(self):
        """What has to be the same, or a complaint."""
        left = [path.name for path in self.place.rglob(".onward-*")]
        if left:
            return f"left over: {left}"
        if self.name == "study":
            lines = [json.loads(line) for line in (self.place / "journal.jsonl").read_text().splitlines()]
            result = json.loads((self.place / "result.json").read_text())
            return [{k: v for k, v in line.items() if k not in ("seconds", "check")} for line in lines], result["best"]
        checked = run(self.verify)
        if checked.returncode != 0:
            return f"verify: {checked.stderr}"
        folder = self.place / "spec"
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        # A resumed run measures time anew, and signals only in the steps that it takes itself.
        anew = ("elapsed", "signal_to_noise")
        rows = [(row["step"], row["name"], row["value"], row["unit"]) for row in rows if row["name"] not in anew]
        others = [path.name for path in self.place.iterdir()]
        pages = (folder / "report.html").stat().st_size > 0 and len(list((folder / "plots").iterdir()))
        return (folder / "ledger.bin").read_bytes(), (folder / "model.safetensors").read_bytes(), rows, others, pages

    def trial(self, call, number, fault):
        """One trial; a complaint if something is not as it should be."""
        self.clear()
        inject = f"inject={call}:{fault}:when={number}"
        log = self.folder / "trial"
        done = run([*self.trace, "-o", log, "-e", "trace=" + call, "-e", inject, *self.command])
        # Calls are numbered in each thread: the one that says what failed may meet the fault itself, and then cannot say it.
        mute = done.returncode == 2 and re.search(r"\bwrite\(2, .*\(INJECTED\)", log.read_text())
        if "signal" not in fault and not (done.returncode == 0 or is_told(done) or mute):
            return f"rc {done.returncode}: {done.stderr.strip()[:300]!r}"
        again = run(self.command) if done.returncode != 0 or self.name != "study" else done
        if again.returncode != 0:
            return f"going on: rc {again.returncode}: {again.stderr.strip()[:300]!r}"
        end = self.outcome()
        if end == self.end:
            return None
        return end if isinstance(end, str) else "another end"


def is_told(done):
    """One sentence (and, where there is one, the way to go on) with exit code 2."""
    lines = done.stderr.splitlines()
    return done.returncode == 2 and bool(lines) and lines[0].startswith("error: ") and "panicked" not in done.stderr


def calls(log):
    """Each call that changes files and its number among those of its thread and name."""
    counts, found = Counter(), []
    for thread, call, rest in re.findall(r"^(?:(\d+) +)?(\w+)\((.*)$", log, re.MULTILINE):
        counts[thread, call] += 1
        changes = "O_CREAT" in rest if call == "openat" else not re.match(r"[12],", rest)
        if changes:
            found.append((call, counts[thread, call]))
    return sorted(set(found))


def faults(call):
    return ["signal=KILL", "error=ENOSPC" if call in ("openat", "write", "writev", "mkdir") else "error=EIO"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, help="at most so many, with a sample of the trials")
    parser.add_argument("--only", help="one method, or study")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/onward")
    args = parser.parse_args()
    probe = shutil.which("strace") and run([*TRACE, "-o", "/dev/null", "true"])
    if not probe or probe.returncode != 0:
        why = probe.stderr.strip() if probe else "strace is not installed"
        print(f"SKIPPED: no crash tests at system calls: {why}")
        return
    began = time.monotonic()
    tried, bad = Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        names = [name for name in [*METHODS, "study"] if args.only in (None, name)]
        subjects = [Subject(args.binary.resolve(), pathlib.Path(folder), name) for name in names]
        trials = [(s, call, n, fault) for s in subjects for call, n in s.calls for fault in faults(call)]
        random.Random(1).shuffle(trials)
        for subject, call, number, fault in trials:
            if args.seconds and time.monotonic() - began > args.seconds:
                break
            complaint = subject.trial(call, number, fault)
            tried[subject.name, fault] += 1
            if complaint:
                bad += 1
                print(f"  {subject.name}, {call} {number}, {fault}: {complaint}", flush=True)
    for name in names:
        print(f"{name}: " + ", ".join(f"{n} × {fault}" for (who, fault), n in sorted(tried.items()) if who == name))
    seconds = time.monotonic() - began
    print(f"{sum(tried.values())} of {len(trials)} trials, {bad} with another end or no word, {seconds:.0f} s")
    sys.exit(bad > 0)


main()
