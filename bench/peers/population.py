#!/usr/bin/env python3
"""Generations of evosax, EvoTorch and EvoX on the nets of bench/alternate.py, served to it.

    pip install -r bench/peers/requirements-torch.txt        # evotorch, evox, evox-lora
    pip install -r bench/peers/requirements-jax.txt          # evosax, in an environment of its own
    echo '{"case": "population", "net": "mlp", "members": 1024, "samples": 256, "dtype": "f32", "threads": 2}' |
        python3 bench/peers/population.py evosax
    python3 bench/peers/population.py evosax --ways CASE     # each way of evaluating, as a table

A way is how members are evaluated: all at once, in chunks, or one after the other. Which one is used is written below,
as measured; a case's key "way" overrides that.
"""
import json
import sys

import serving

# The fastest on two cores of the server in bench/peers.md.
BEST = {
    "evosax": {"mlp": "map, chunk 1, threefry2x32", "conv": "map, chunk 1, threefry2x32"},
    "evotorch": {"mlp": "one by one, oneDNN", "conv": "one by one"},
    "evox": {"mlp": "one by one, oneDNN", "conv": "one by one"},
    "evox-lora": {"mlp": "chunk 16"},
}


def module(library):
    if library == "evosax":
        import population_jax
        return population_jax
    import population_torch
    return population_torch


def main():
    library = sys.argv[1] if len(sys.argv) > 1 else ""
    if library not in BEST:
        sys.exit(f"expected one of {', '.join(BEST)}, found '{library}'")
    peer = module(library)

    def prepare(case):
        if case["case"] != "population" or case["net"] not in BEST[library]:
            raise ValueError(f"case: expected a population of {library}, found {case}")
        way = case.get("way", BEST[library][case["net"]])
        return way, peer.generation(library, case, way)

    if sys.argv[2:3] == ["--ways"]:
        case = json.loads(sys.argv[3])
        for way in sys.argv[4:] or peer.ways(library, case["net"]):
            work = prepare(case | {"way": way})[1]
            work()
            found = serving.measure(work)
            print(f"| {library} | {case['net']} | {way} | {found['seconds']:.2f} | {found['cpu_seconds']:.2f} | "
                  f"{serving.peak_mb():.0f} |", flush=True)
    else:
        serving.serve(peer.name(library), prepare)


main()
