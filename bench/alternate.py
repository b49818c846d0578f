#!/usr/bin/env python3
"""Runs two programs alternately over the same cases and prints medians and ratios as a Markdown table.

    cargo build --release -p onward-bench --bin serve
    python3 bench/alternate.py products --rival "VENV/bin/python bench/peers/products.py" [--rounds 15]
    python3 bench/alternate.py '{"case": "product", "dtype": "f32", "m": 8, "n": 64, "k": 64, "threads": 1}' --rival ...

Needs only Python's standard library. `--ours` is `target/release/serve` unless told otherwise.

Both programs read one case per line from their input, a JSON object, and answer with one line each, until input ends:

    {"case": "product", "dtype": "f32" | "bf16" | "int8", "m", "n", "k", "threads"}
        y (m, n) = x (m, k) · Wᵀ, W (n, k); W packed beforehand where the program can, x not; int8 sums to i32
    {"case": "population", "net": "mlp" | "conv", "members", "samples", "dtype", "threads"}
        one generation: members drawn around the mean, each one's mean cross-entropy on the same samples, the mean moved.
        mlp: 784-256-256-10 with relu; conv: six 3×3 convolutions of 16 channels on 28×28×1, each followed by batch
        normalisation with the member's own statistics, 2×2 average pools after the second and fourth, a global one, 10 outputs
    {"case": "two-point", "part": "step" | "forward", "widths": [...], "batch", "dtype", "threads"}
        a step: two forward passes with ±σ noise on all weights, mean cross-entropy, update; or one plain forward pass

    {"seconds": median on the wall, "cpu_seconds": median over all processors, "repeats", "peak_rss_mb",
     "baseline_rss_mb": before the first case, "name", "way": how it was done}    or    {"error": "..."}

Keys beyond these are the program's own business ("space": "dense" makes our population perturb every weight alone).
Each case gets a fresh pair of processes, so that the peaks of memory are its own. On a shared machine the clock of one
processor ("cpu", here for one thread) is steadier than the wall's; of several threads it is divided by their number.
"""
import argparse
import json
import pathlib
import shlex
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZES = [(2048, 2048, 2048), (256, 2048, 2048), (32, 4096, 4096), (8, 4096, 4096)]
FIFTY_MILLION = [2048, 4096, 4096, 4096, 2048]
SUITES = {
    "products": [{"case": "product", "dtype": dtype, "m": m, "n": n, "k": k, "threads": threads}
                 for threads in (1, 2) for dtype in ("f32", "bf16", "int8") for m, n, k in SIZES],
    "population": [{"case": "population", "net": net, "members": members, "samples": samples, "dtype": "f32", "threads": 2}
                   for net, members, samples in [("mlp", 1024, 256), ("conv", 64, 128)]],
    "two-point": [{"case": "two-point", "part": part, "widths": FIFTY_MILLION, "batch": batch, "dtype": dtype, "threads": 2}
                  for batch, dtype in [(1024, "f32"), (64, "f32"), (64, "bf16")] for part in ("step", "forward")],
}


class Program:
    """One side, as a process that answers cases."""

    def __init__(self, command):
        self.command = command
        self.process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, case):
        try:
            print(json.dumps(case), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"error": f"{self.command}: ended without an answer"}

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def run(case, commands, rounds):
    """The answers of each side, round by round, after one round to warm up; or the error of one."""
    programs = [Program(command) for command in commands]
    try:
        answers = []
        for _ in range(rounds + 1):
            answers.append([program.ask(case) for program in programs])
            for answer in answers[-1]:
                if "error" in answer:
                    return None, f"{answer.get('name', '')} {answer['error']}"
        return list(zip(*answers[1:])), None
    finally:
        for program in programs:
            program.close()


def seconds(answer, case, clock):
    if clock == "cpu" or (clock == "auto" and case["threads"] == 1):
        return answer["cpu_seconds"] / case["threads"]
    return answer["seconds"]


def speed(case, time):
    """A time in the case's own unit."""
    match case["case"]:
        case "product":
            return f"{2e-9 * case['m'] * case['n'] * case['k'] / time:.1f} GOP/s"
        case "population":
            return f"{case['members'] / time:.0f} members/s"
        case _:
            return f"{1000 * time:.1f} ms"


def name(case):
    match case["case"]:
        case "product":
            return f"{case['dtype']} {case['m']} × {case['n']} × {case['k']}"
        case "population":
            return f"{case['net']}, {case['members']} × {case['samples']}, {case['dtype']}"
        case _:
            return f"{case['part']}, batch {case['batch']}, {case['dtype']}"


def memory(answers):
    """Megabytes taken beyond those of the program itself."""
    return f"{max(a['peak_rss_mb'] for a in answers) - answers[0]['baseline_rss_mb']:.0f}"


def row(case, ours, rival, clock):
    times = [[seconds(a, case, clock) for a in side] for side in (ours, rival)]
    ratios = [r / o for o, r in zip(*times)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    cells = [name(case), str(case["threads"]), *(speed(case, statistics.median(t)) for t in times),
             f"{middle:.2f} ({low:.2f}–{high:.2f})", f"{min(times[1]) / min(times[0]):.2f}",
             memory(ours), memory(rival), rival[-1].get("way", "")]
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", help=f"{', '.join(SUITES)}, or cases as JSON")
    parser.add_argument("--ours", default=str(ROOT / "target/release/serve"))
    parser.add_argument("--rival", required=True)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clock", choices=["auto", "wall", "cpu"], default="auto")
    parser.add_argument("--only", default="", help="a text that the case's JSON must contain, such as '\"threads\": 1'")
    args = parser.parse_args()
    print("| case | threads | ours | rival | rival's time / ours, median (quartiles) | of the best | MB, ours | MB, rival | rival's way |")
    print("|---|---|---|---|---|---|---|---|---|")
    cases = [case for text in args.cases for case in SUITES.get(text) or [json.loads(text)]]
    for case in cases:
        if args.only not in json.dumps(case):
            continue
        answers, error = run(case, [args.ours, args.rival], args.rounds)
        if error:
            print(f"{name(case)}: {error}", file=sys.stderr)
        else:
            print(row(case, *answers, args.clock), flush=True)


main()
