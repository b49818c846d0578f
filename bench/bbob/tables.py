"""Tables and pictures from the logs that bench/bbob.py left.

    python bench/bbob/tables.py share EXDATA OURS,RIVAL … [--budgets 10,100,1000,10000]
    python bench/bbob/tables.py functions EXDATA OURS,RIVAL …
    python bench/bbob/tables.py picture EXDATA OUT.svg LABEL=RUN …

A target is a difference to the optimum's value; there are 51 of them for each function and instance, 10^2, 10^1.8 … 10^-8.
Only problems that all runs of a group have are counted, so that runs over fewer instances can be compared.
"""

import argparse
import os
import re
from collections import defaultdict

import numpy as np

TARGETS = 10.0 ** (2 - 0.2 * np.arange(51))


def hits(path):
    """Evaluations to each target (infinite if it was missed) of each instance in a .dat file."""
    blocks = []
    with open(path) as file:
        for line in file:
            if line.startswith("%"):
                blocks.append([])
            elif line.strip():
                words = line.split()
                blocks[-1].append((float(words[0]), float(words[2])))
    result = []
    for block in blocks:
        reached = np.full(len(TARGETS), np.inf)
        for evaluations, difference in block:
            met = (difference <= TARGETS * (1 + 1e-9)) & np.isinf(reached)
            reached[met] = evaluations
        result.append(reached)
    return result


def read(folder):
    """{(dimension, function): {instance: (evaluations to targets, all evaluations)}} of a run's folder."""
    problems = defaultdict(dict)
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".info"):
            continue
        with open(os.path.join(folder, name)) as file:
            text = file.read()
        blocks = re.findall(r"funcId = (\d+), DIM = (\d+).*\n%.*\n([^,]*\.dat), (.*)", text)
        for function, dimension, dat, runs in blocks:
            ended = re.findall(r"(\d+):(\d+)\|", runs)
            for (instance, spent), reached in zip(ended, hits(os.path.join(folder, dat))):
                problems[int(dimension), int(function)][int(instance)] = (reached, float(spent))
    return problems


def load(exdata, runs):
    """The problems of several folders together: `run-d2+run-d5` is one run. An instance that several have counts each time."""
    together = defaultdict(dict)
    for run in runs.split("+"):
        for problem, instances in read(os.path.join(exdata, run)).items():
            for instance, result in instances.items():
                times = sum(i == instance for i, _ in together[problem])
                together[problem][instance, times] = result
    return together


def shared(group):
    """The same problems and instances of every run of a group."""
    problems = sorted(set.intersection(*(set(run) for run in group)))
    for problem in problems:
        instances = sorted(set.intersection(*(set(run[problem]) for run in group)))
        if instances:
            yield problem, instances, [[run[problem][i] for i in instances] for run in group]


def share(group, budgets):
    """{dimension: (problems, [[share of targets at each budget, in evaluations per dimension] for each run])}"""
    reached = defaultdict(lambda: [[] for _ in group])
    for (dimension, _), _, runs in shared(group):
        for all_reached, run in zip(reached[dimension], runs):
            all_reached.extend(r / dimension for r, _ in run)
    of = lambda run: [float(np.mean(np.array(run) <= b)) for b in budgets]
    return {d: (len(runs[0]), [of(run) for run in runs]) for d, runs in sorted(reached.items())}


def expected(run):
    """ERT to the last target: all evaluations of all instances over the number that reached it; and that number."""
    spent = sum(min(r[-1], all_spent) for r, all_spent in run)
    solved = sum(np.isfinite(r[-1]) for r, _ in run)
    return (spent / solved if solved else np.inf), solved


def number(x):
    return "–" if np.isinf(x) else f"{x:.0f}"


def print_share(groups, names, budgets):
    print("| d | problems | run | " + " | ".join(f"{b:g} d" for b in budgets) + " |")
    print("|---" * (3 + len(budgets)) + "|")
    for group, of in zip(groups, names):
        for dimension, (problems, shares) in share(group, budgets).items():
            for name, row in zip(of, shares):
                print(f"| {dimension} | {problems} | {name} | " + " | ".join(f"{100 * s:.1f}" for s in row) + " |")


def print_functions(groups, names):
    for group, of in zip(groups, names):
        print("| d | f | " + " | ".join(f"{n}: median | ERT | solved" for n in of) + " |")
        print("|---" * (2 + 3 * len(of)) + "|")
        for (dimension, function), instances, runs in shared(group):
            cells = []
            for run in runs:
                mean, solved = expected(run)
                middle = float(np.median([r[-1] for r, _ in run]))
                cells.append(f"{number(middle)} | {number(mean)} | {solved}/{len(instances)}")
            print(f"| {dimension} | {function} | " + " | ".join(cells) + " |")


def draw(exdata, out, labelled, title):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "ecdf"
    from matplotlib import pyplot

    runs = {label: load(exdata, run) for label, run in labelled}
    budgets = np.logspace(0, 4, 81)
    shares = {label: share([run], budgets) for label, run in runs.items()}
    dimensions = sorted(set().union(*shares.values()))
    columns = min(3, len(dimensions))
    rows = -(-len(dimensions) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(3.6 * columns, 2.9 * rows), sharey=True, squeeze=False)
    for axis in axes.flat[len(dimensions) :]:
        axis.set_visible(False)
    for axis, dimension in zip(axes.flat, dimensions):
        for label, by_dimension in shares.items():
            if dimension in by_dimension:
                problems, [curve] = by_dimension[dimension]
                axis.semilogx(budgets, curve, label=f"{label} ({problems})", linewidth=1.2)
        axis.set_title(f"d = {dimension}", fontsize=9)
        axis.set_ylim(0, 1)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="upper left")
        axis.tick_params(labelsize=7)
        axis.set_xlabel("evaluations / d", fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("what", choices=["share", "functions", "picture"])
    arguments.add_argument("exdata")
    arguments.add_argument("rest", nargs="+")
    arguments.add_argument("--budgets", default="10,30,100,300,1000,3000,10000")
    arguments.add_argument("--title", default="Share of 51 targets, 1e2 … 1e-8, of all problems (number of problems)")
    a = arguments.parse_args()
    if a.what == "picture":
        draw(a.exdata, a.rest[0], [r.split("=") for r in a.rest[1:]], a.title)
        return
    names = [g.split(",") for g in a.rest]
    groups = [[load(a.exdata, run) for run in g] for g in names]
    if a.what == "share":
        print_share(groups, names, [float(b) for b in a.budgets.split(",")])
    else:
        print_functions(groups, names)


if __name__ == "__main__":
    main()
