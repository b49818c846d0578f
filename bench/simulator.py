"""A noisy, partly infeasible simulator of six parameters, searched by `onward minimize` and held against its known optimum.

    python3 bench/simulator.py --onward target/release/onward

The loss is 0 at its optimum plus what is left of it: a bowl in five numbers of very different scales (one by ratio, one whole), 1 for each
wrong word, and Gaussian noise of deviation 0.05. A quarter of the box crashes (exit code 3), and `g <= 0` is required, which cuts
off the optimum without it: the best feasible point is known in closed form. What a study recommends is judged without noise.
"""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile

SPACE = ["a:-5..5", "b:-5..5", "r:1e-5..1 log", "c:-3..3", "act:{relu,tanh,sigmoid}", "n:1..64 int"]
AWK = """BEGIN {
  srand(({seed} % 99991) * 1000 + {id}); rand()
  if ({a} + {b} > 3) { print "the solver does not converge: a + b > 3" > "/dev/stderr"; exit 3 }
  l = log({r}) / log(10) + 2
  loss = ({a} - 1)^2 + ({b} + 2)^2 + l^2 + ({c})^2 + ("{act}" != "tanh") + (({n} - 20) / 20)^2
  noise = 0.05 * sqrt(-2 * log(1 - rand())) * cos(6.283185307179586 * rand())
  printf "{\\"loss\\": %.17g, \\"g\\": %.17g}\\n", loss + noise, {a} - {b} - 2
}"""
# Of a - b <= 2: the nearest point to (1, -2) is (0.5, -1.5), half a unit from it in the square.
OPTIMUM = 0.5


def truth(p):
    """The loss without noise, and whether the point is feasible."""
    rest = (math.log10(p["r"]) + 2) ** 2 + p["c"] ** 2 + (p["act"] != "tanh") + ((p["n"] - 20) / 20) ** 2
    return (p["a"] - 1) ** 2 + (p["b"] + 2) ** 2 + rest, p["a"] - p["b"] - 2 <= 0 and p["a"] + p["b"] <= 3


def study(onward, folder, method, seed, budget):
    out = pathlib.Path(folder) / f"{method}-{budget}-{seed}"
    words = [onward, "minimize", "--quiet", "--goal", "min", "--budget", str(budget), "--seed", str(seed), "--require", "g <= 0"]
    words += [word for one in SPACE for word in ("--space", one)]
    words += ["--out", str(out)] + ([] if method == "auto" else ["--method", method]) + ["--", "awk", AWK]
    subprocess.run(words, check=True, capture_output=True)
    result = json.loads((out / "result.json").read_text())
    lines = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    failed = sum(line.get("event") == "evaluation" and line["loss"] is None for line in lines)
    best = result["recommended"]
    told, half = best.get("mean", best.get("loss")), best.get("half_width")
    return best["values"], told, half, failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--onward", default="target/release/onward")
    parser.add_argument("--seeds", type=int, default=11)
    args = parser.parse_args()
    onward = str(pathlib.Path(args.onward).resolve())
    print("| method | evaluations | above the optimum: median (worst) | right word | feasible | interval holds the truth | failed evaluations |")
    print("|---|---|---|---|---|---|---|")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for method, budget in [("auto", 300), ("auto", 1000), ("random", 300), ("random", 1000)]:
            gaps, word, feasible, held, failed = [], 0, 0, 0, []
            for seed in range(1, args.seeds + 1):
                values, told, half, failures = study(onward, folder, method, seed, budget)
                loss, sound = truth(values)
                gaps.append(loss - OPTIMUM)
                word += values["act"] == "tanh"
                feasible += sound
                held += half is not None and abs(told - loss) <= half
                failed.append(failures)
            wrong += args.seeds - feasible
            print(f"| {method} | {budget} | {statistics.median(gaps):.3f} ({max(gaps):.3f}) | {word} of {args.seeds} "
                  f"| {feasible} of {args.seeds} | {held} of {args.seeds} | {statistics.median(failed):.0f} |", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
