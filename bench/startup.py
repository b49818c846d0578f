#!/usr/bin/env python3
"""The size of the release binary and how long `onward --help` takes, next to their targets.

    cargo build --release && python3 bench/startup.py

Needs only Python's standard library.
"""
import pathlib
import statistics
import subprocess
import sys
import time

BINARY = pathlib.Path(__file__).resolve().parent.parent / "target/release/onward"
RUNS = 50


def help_time():
    start = time.perf_counter()
    subprocess.run([BINARY, "--help"], stdout=subprocess.DEVNULL, check=True)
    return 1000 * (time.perf_counter() - start)


def main():
    if not BINARY.exists():
        sys.exit(f"{BINARY} is missing: run cargo build --release first")
    size = BINARY.stat().st_size / 1e6
    times = sorted(help_time() for _ in range(RUNS))
    median = statistics.median(times)
    print("| what | found | target | ok |")
    print("|---|---|---|---|")
    print(f"| size of the binary | {size:.1f} MB | ≤ 15 MB | {'yes' if size <= 15 else 'no'} |")
    print(f"| `onward --help`, median of {RUNS} (best {times[0]:.1f} ms) | {median:.1f} ms | ≤ 20 ms | "
          f"{'yes' if median <= 20 else 'no'} |")
    return 0 if size <= 15 and median <= 20 else 1


sys.exit(main())
