"""Runs COCO's problems with a study's strategies (through bench/src/bin/asktell.rs) and with pycma.

    python bench/bbob.py RUN SOLVER [--suite bbob] [--dimensions 2,5] [--functions 1-24] [--instances 1-15] [--budget 10000]

writes COCO's own logs into exdata/RUN (under the present folder), which cocopp and bench/bbob/tables.py read. SOLVER is the
name of a strategy with its settings, such as `cma-es` or `'{"name":"cma-es","members":20}'`, or `pycma`, with its options
if need be. All begin at the problem's initial solution (0 for continuous suites) with σ = 2, without bounds; later runs
begin anywhere in [-4, 4]. With `--start random` the first begins there as well (and ours restarts up to 4 from that). The
budget is per dimension; a run ends earlier at the final target, 1e-8. `--repeat 1`, `2` … gives other seeds.
"""

import argparse
import json
import os
import subprocess
import struct
import warnings

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"

import cocoex
import numpy as np

SIGMA = 2.0


class Task:
    """A problem, where its first run begins, and seeds: functions of its name, the repeat and the attempt alone."""

    def __init__(self, problem, start, repeat):
        self.problem = problem
        self.repeat = repeat
        self.start = np.array(problem.initial_solution)
        if start == "random":
            self.start = np.random.default_rng(self.seed(999)).uniform(-4, 4, problem.dimension)

    def seed(self, attempt):
        p = self.problem
        names = np.random.SeedSequence([p.id_function, p.id_instance, p.dimension, self.repeat, attempt])
        return int(names.generate_state(1)[0]) // 2 + 1


def real_space(task):
    def kind(i):
        return {"real": {"start": float(task.start[i]), "scale": SIGMA}}

    return [{"name": f"x{i}", "kind": kind(i)} for i in range(task.problem.dimension)]


def mixed_space(problem):
    """COCO's integers come first, with bounds; so do the bounds of the rest."""

    def kind(i):
        low, high = problem.lower_bounds[i], problem.upper_bounds[i]
        if i < problem.number_of_integer_variables:
            return {"int": {"low": int(low), "high": int(high), "spacing": "linear"}}
        return {"float": {"low": float(low), "high": float(high), "spacing": "linear"}}

    return [{"name": f"x{i}", "kind": kind(i)} for i in range(problem.dimension)]


class Onward:
    """One strategy of a study, served over a pipe a generation at a time."""

    def __init__(self, server, method):
        self.server = server
        self.method = json.loads(method) if method.startswith("{") else {"name": method}

    def __call__(self, task, budget, attempt):
        problem = task.problem
        space = mixed_space(problem) if problem.number_of_integer_variables else real_space(task)
        study = {"method": self.method, "space": space, "budget": budget, "seed": task.seed(attempt)}
        served = subprocess.Popen([self.server], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        served.stdin.write(json.dumps(study).encode() + b"\n")
        served.stdin.flush()
        d = problem.dimension
        while not problem.final_target_hit:
            (count,) = struct.unpack("<I", served.stdout.read(4))
            if count == 0:
                break
            points = np.frombuffer(served.stdout.read(8 * count * d)).reshape(count, d)
            served.stdin.write(np.array([problem(x) for x in points]).tobytes())
            served.stdin.flush()
        served.communicate()


class Pycma:
    """fmin2 with BIPOP restarts from random points; integers rounded by its own means, bounds where a suite has them. Settings
    are its options, and `noise_handler`: its noise handler's numbers of evaluations."""

    def __init__(self, settings):
        self.reevaluations = settings.pop("noise_handler", None)
        self.settings = settings

    def __call__(self, task, budget, attempt):
        import cma

        problem, seed = task.problem, task.seed(attempt)
        rng = np.random.default_rng(seed)
        starts = [task.start] if attempt == 0 else []
        options = {
            "verbose": -9,
            "verb_log": 0,
            "maxfevals": budget,
            "seed": seed,
            "termination_callback": lambda _: problem.final_target_hit,
            **self.settings,
        }
        sigma, low, high = SIGMA, -4.0, 4.0
        if problem.number_of_integer_variables:
            low, high = problem.lower_bounds, problem.upper_bounds
            width = np.asarray(high) - low
            options["integer_variables"] = list(range(problem.number_of_integer_variables))
            options["bounds"] = [list(low), list(high)]
            options["CMA_stds"] = list(width)
            sigma = 0.2

        def start():
            return starts.pop() if starts else rng.uniform(low, high, problem.dimension)

        handler = self.reevaluations and cma.NoiseHandler(problem.dimension, self.reevaluations)
        cma.fmin2(problem, start, sigma, options, restarts=9, bipop=True, noise_handler=handler)


def solver(name, server):
    if name.startswith("pycma"):
        return Pycma(json.loads(name[len("pycma") :] or "{}"))
    return Onward(server, name)


def main():
    warnings.simplefilter("ignore")
    here = os.path.dirname(os.path.abspath(__file__))
    arguments = argparse.ArgumentParser()
    arguments.add_argument("run")
    arguments.add_argument("solver")
    arguments.add_argument("--suite", default="bbob")
    arguments.add_argument("--dimensions", default="2,3,5,10,20,40")
    arguments.add_argument("--functions", default="1-24")
    arguments.add_argument("--instances", default="1-15")
    arguments.add_argument("--start", choices=["initial", "random"], default="initial")
    arguments.add_argument("--repeat", type=int, default=0)
    arguments.add_argument("--budget", type=float, default=1e4)
    arguments.add_argument("--server", default=os.path.join(here, "..", "target", "release", "asktell"))
    a = arguments.parse_args()
    chosen = f"dimensions: {a.dimensions} function_indices: {a.functions} instance_indices: {a.instances}"
    suite = cocoex.Suite(a.suite, "", chosen)
    observer = cocoex.Observer(a.suite, f"result_folder: {a.run} algorithm_name: {a.run}")
    solve = solver(a.solver, a.server)
    for problem in suite:
        budget = int(a.budget * problem.dimension)
        problem.observe_with(observer)
        task, attempt = Task(problem, a.start, a.repeat), 0
        while problem.evaluations < budget and not problem.final_target_hit:
            solve(task, budget - problem.evaluations, attempt)
            attempt += 1
        problem.free()


main()
