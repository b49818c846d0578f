"""Processor time between evaluations of a sphere, ours and rivals': asking and telling, medians over runs made in turn.

    python bench/overhead.py [target/release/study]
    python bench/overhead.py interleaved

The packages are those of bench/peers/requirements-bbob.txt. `interleaved` shows whether two of pycma's runs side by side ask for
other candidates than each does alone (ours do not: crates/onward/src/study/tests.rs).
"""

import os
import subprocess
import sys
import time
import warnings

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy as np

RUNS = 3


def sphere(x):
    return float(np.dot(x, x))


def pycma(n, seed):
    import cma

    options = {"verbose": -9, "verb_log": 0, "seed": seed + 1, "tolfun": 0, "tolfunhist": 0, "tolx": 0}
    es = cma.CMAEvolutionStrategy(n * [1], 0.5, options)

    def generation(f):
        points = es.ask()
        es.tell(points, [f(x) for x in points])

    return generation, 3000


def cmaes(n, seed):
    import cmaes

    es = cmaes.CMA(mean=np.ones(n), sigma=0.5, seed=seed + 1)

    def generation(f):
        points = [es.ask() for _ in range(es.population_size)]
        es.tell([(x, f(x)) for x in points])

    return generation, 3000


def nevergrad(n, seed):
    import nevergrad

    space = nevergrad.p.Array(init=np.ones(n)).set_mutation(sigma=0.5)
    space.random_state.seed(seed + 1)
    optimizer = nevergrad.optimizers.CMA(parametrization=space, budget=10**6)

    def generation(f):
        candidate = optimizer.ask()
        optimizer.tell(candidate, f(candidate.value))

    return generation, 500


def optuna(n, seed):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names = [f"x{i}" for i in range(n)]
    sampler = optuna.samplers.CmaEsSampler(x0={k: 1.0 for k in names}, sigma0=0.5, seed=seed + 1)
    study = optuna.create_study(sampler=sampler)

    def generation(f):
        trial = study.ask()
        study.tell(trial, f(np.array([trial.suggest_float(k, -5, 5) for k in names])))

    return generation, 300


def per_evaluation(begin, n, seed):
    """Microseconds per evaluation without those of the sphere."""
    generation, evaluations = begin(n, seed)
    inside, told = 0.0, 0

    def f(x):
        nonlocal inside, told
        start = time.thread_time()
        value = sphere(x)
        inside += time.thread_time() - start
        told += 1
        return value

    start = time.thread_time()
    while told < evaluations:
        generation(f)
    return 1e6 * (time.thread_time() - start - inside) / told


def ours(program):
    """The medians that `study overhead cma-es` prints, by dimension."""
    printed = subprocess.run([program, "overhead", "cma-es"], check=True, capture_output=True, text=True).stdout
    rows = [line.strip("| ").split(" | ") for line in printed.splitlines()[2:]]
    return {int(row[1]): float(row[2]) for row in rows}


def compare(program):
    dimensions = (2, 10, 40)
    rivals = [pycma, cmaes, nevergrad, optuna]
    times = {(rival, n): [] for rival in rivals for n in dimensions}
    own = {n: [] for n in dimensions}
    for seed in range(RUNS):
        for n, least in ours(program).items():
            own[n].append(least)
        for (rival, n), all_times in times.items():
            all_times.append(per_evaluation(rival, n, seed))
    print("| µs per evaluation | " + " | ".join(f"d = {n}" for n in dimensions) + " |\n|---|---|---|---|")
    print("| cma-es | " + " | ".join(f"{np.median(own[n]):.2f}" for n in dimensions) + " |")
    for rival in rivals:
        print(f"| {rival.__name__} | " + " | ".join(f"{np.median(times[rival, n]):.0f}" for n in dimensions) + " |")


def interleaved():
    import cma

    def begin(seed):
        return cma.CMAEvolutionStrategy(5 * [1], 0.5, {"verbose": -9, "seed": seed})

    def step(es):
        points = es.ask()
        es.tell(points, [sphere(x) for x in points])
        return np.array(points)

    es = begin(1)
    alone = [step(es) for _ in range(10)]
    first, second = begin(1), begin(2)
    beside = []
    for _ in range(10):
        beside.append(step(first))
        step(second)
    same = sum(np.array_equal(a, b) for a, b in zip(alone, beside))
    print(f"pycma {cma.__version__.split()[0]}: {same} of 10 generations are the same beside another run as alone")


def main():
    warnings.simplefilter("ignore")
    if sys.argv[1:] == ["interleaved"]:
        interleaved()
    else:
        compare(sys.argv[1] if len(sys.argv) > 1 else "target/release/study")


main()
