"""Evaluations that pycma needs on the functions of bench/src/bin/study.rs: medians of 21 runs to 1e-8."""

import sys
import time
import warnings

import cma
import numpy as np

RUNS, TARGET = 21, 1e-8


def rotation(n, instance):
    i = np.arange(n * n, dtype=float).reshape(n, n) + 1
    rows = np.sin(1.7 * i**1.3 + instance)
    done = []
    for row in rows:
        for _ in range(2):
            for other in done:
                row = row - (row @ other) * other
        done.append(row / np.linalg.norm(row))
    return np.array(done)


def problem(name, n, instance):
    optimum = 4 * np.sin(12.9898 * (np.arange(n) + 1) + 78.233 * (instance + 1))
    scales = 10 ** (6 * np.arange(n) / (n - 1))
    turn = rotation(n, instance) if name == "rotated ellipsoid" else None

    def value(x):
        x = np.asarray(x) - optimum
        if name == "sphere":
            return float(x @ x)
        if name == "Rosenbrock":
            y = x * max(1, np.sqrt(n - 1) / 8) + 1
            return float(np.sum(100 * (y[:-1] ** 2 - y[1:]) ** 2 + (y[:-1] - 1) ** 2))
        if turn is not None:
            x = turn @ x
        return float(scales @ (x * x))

    return value


def evaluations(name, n, instance):
    f = problem(name, n, instance)
    options = {"ftarget": TARGET, "maxfevals": 5000 * n, "verbose": -9, "seed": instance + 1}
    es = cma.CMAEvolutionStrategy(n * [0], 2, options)
    told = 0
    while not es.stop():
        xs = es.ask()
        values = [f(x) for x in xs]
        for v in values:
            told += 1
            if v <= TARGET:
                return told
        es.tell(xs, values)
    return float("inf")


def overhead(n, seed):
    es = cma.CMAEvolutionStrategy(n * [1], 0.5, {"maxfevals": 5000, "verbose": -9, "seed": seed + 1, "tolfun": 0, "tolfunhist": 0, "tolx": 0})
    inside, told = 0.0, 0
    while told < 5000:
        start = time.perf_counter()
        xs = es.ask()
        inside += time.perf_counter() - start
        values = [float(np.dot(x, x)) for x in xs]
        start = time.perf_counter()
        es.tell(xs, values)
        inside += time.perf_counter() - start
        told += len(xs)
    return inside / told


def main():
    warnings.simplefilter("ignore")
    if sys.argv[1:] == ["overhead"]:
        for n in (2, 10, 40):
            print(f"| pycma {cma.__version__} | {n} | {1e6 * np.median([overhead(n, s) for s in range(3)]):.1f} |")
        return
    print(f"| function | d | pycma {cma.__version__.split()[0]} |\n|---|---|---|")
    for name in ("sphere", "ellipsoid", "Rosenbrock", "rotated ellipsoid"):
        for n in (5, 10, 20):
            told = sorted(evaluations(name, n, i) for i in range(RUNS))
            solved = sum(t < float("inf") for t in told)
            print(f"| {name} | {n} | {told[RUNS // 2]} ({solved}/{RUNS}) |", flush=True)


main()
