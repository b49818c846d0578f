#!/usr/bin/env python3
"""Standard normal noise added to f32 weights with NumPy on one thread: G elements per second.

    python3 bench/peers/noise.py
"""
import statistics
import time

import numpy as np


def rate(n, repeats, rounds=11):
    generator = np.random.Generator(np.random.SFC64(1))
    weights, noise = np.zeros(n, np.float32), np.empty(n, np.float32)
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        for _ in range(repeats):
            generator.standard_normal(out=noise, dtype=np.float32)
            noise *= np.float32(1e-3)
            weights += noise
        times.append(time.thread_time() - start)
    return [n * repeats / t / 1e9 for t in (statistics.median(times), min(times))]


for place, n, repeats in [("512 KiB (L2)", 1 << 17, 16), ("256 MiB", 1 << 26, 1)]:
    median, best = rate(n, repeats)
    print(f"| {place} | NumPy {np.__version__} standard_normal | {median:.3f} | {best:.3f} |")
