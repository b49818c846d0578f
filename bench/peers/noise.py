#!/usr/bin/env python3
"""Standard normal noise added to f32 weights on one thread: G elements per second.

    python3 bench/peers/noise.py [numpy | torch | jax]      # in the environment of that library

JAX's generators are compiled with the addition, the weights given away and returned in place.
"""
import os
import statistics
import sys
import time

# JAX takes its number of threads from the processors that it may use.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def numpy_ways(n):
    import numpy as np
    generator = np.random.Generator(np.random.SFC64(1))
    weights, noise = np.zeros(n, np.float32), np.empty(n, np.float32)

    def add():
        generator.standard_normal(out=noise, dtype=np.float32)
        noise.__imul__(np.float32(1e-3))
        weights.__iadd__(noise)

    return {f"NumPy {np.__version__} standard_normal": add}


def torch_ways(n):
    import torch
    torch.set_num_threads(1)
    weights, noise = torch.zeros(n), torch.empty(n)
    return {f"PyTorch {torch.__version__} normal_": lambda: weights.add_(noise.normal_(), alpha=1e-3),
            f"PyTorch {torch.__version__} randn": lambda: weights.add_(torch.randn(n), alpha=1e-3)}


def jax_ways(n):
    import jax

    def way(kind):
        held = [jax.random.key(1, impl=kind), jax.numpy.zeros(n)]

        def add(key, weights):
            key, now = jax.random.split(key)
            return key, weights + 1e-3 * jax.random.normal(now, (n,))

        compiled = jax.jit(add, donate_argnums=1)

        def work():
            held[:] = jax.block_until_ready(compiled(*held))

        return work

    return {f"JAX {jax.__version__} normal, {kind}": way(kind) for kind in ("threefry2x32", "rbg", "unsafe_rbg")}


def rate(n, work, repeats, rounds=11):
    times = []
    work()
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(repeats):
            work()
        times.append(time.process_time() - start)
    return [n * repeats / t / 1e9 for t in (statistics.median(times), min(times))]


ways = {"numpy": numpy_ways, "torch": torch_ways, "jax": jax_ways}[sys.argv[1] if len(sys.argv) > 1 else "numpy"]
for place, n, repeats in [("512 KiB (L2)", 1 << 17, 16), ("256 MiB", 1 << 26, 1)]:
    for name, work in ways(n).items():
        median, best = rate(n, work, repeats)
        print(f"| {place} | {name} | {median:.3f} | {best:.3f} |", flush=True)
