#!/usr/bin/env python3
"""Instructions of the scalar hot paths, counted by callgrind: the same from run to run, however busy the machine.

    cargo build --release -p onward-bench && python3 bench/instructions.py

Each path runs N and 3N times; the difference leaves start-up out. Valgrind hides AVX-512 from the program, so what is
counted is the AVX2 path. Needs valgrind and Python's standard library.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

BINARY = pathlib.Path(__file__).resolve().parent.parent / "target/release/hot"
REPEATS = 4


def instructions(name, repeats):
    with tempfile.NamedTemporaryFile() as out:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", str(BINARY), name, str(repeats)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def main():
    if not shutil.which("valgrind"):
        sys.exit("valgrind is missing")
    if not BINARY.exists():
        sys.exit(f"{BINARY} is missing: run cargo build --release -p onward-bench first")
    print("| path | instructions | per |")
    print("|---|---|---|")
    for line in subprocess.run([BINARY], capture_output=True, text=True, check=True).stdout.splitlines():
        name, unit, count = line.split("\t")
        more, less = instructions(name, 3 * REPEATS), instructions(name, REPEATS)
        print(f"| {name} | {(more - less) / (2 * REPEATS * int(count)):.1f} | {unit} |")


main()
