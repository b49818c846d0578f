#!/usr/bin/env python3
"""PyTorch's products `x Wᵀ`, served to bench/alternate.py: the fastest of the ways that it has, weights packed beforehand.

    pip install -r bench/peers/requirements-torch.txt
    echo '{"case": "product", "dtype": "bf16", "m": 8, "n": 4096, "k": 4096, "threads": 1}' | python3 bench/peers/products.py
    python3 bench/peers/products.py --ways [THREADS]     # a table of all ways

int8: `_int_mm` gives exact i32, as ours; the key "to": "f32" asks for the quantised linear layer instead, which packs
weights but takes unsigned activations and multiplies with scales on the way out.
"""
import sys

import serving
import torch
import torch.nn.functional as F

NAME = f"PyTorch {torch.__version__}"
FLOATS = {"f32": torch.float32, "bf16": torch.bfloat16}
SIZES = [(2048, 2048, 2048), (256, 2048, 2048), (32, 4096, 4096), (8, 4096, 4096)]


def float_ways(dtype, m, n, k):
    x, w = torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype)
    transposed, out = w.T.contiguous(), torch.empty(m, n, dtype=dtype)
    packed = torch.ops.mkldnn._reorder_linear_weight(w, m)
    return {
        "linear": lambda: F.linear(x, w),
        "mm, out": lambda: torch.mm(x, w.T, out=out),
        "mm of a transposed copy, out": lambda: torch.mm(x, transposed, out=out),
        "oneDNN": lambda: torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], ""),
        "oneDNN, packed": lambda: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], ""),
    }


def int8_ways(m, n, k, to):
    x = torch.randint(-127, 128, (m, k), dtype=torch.int8)
    w = torch.randint(-127, 128, (n, k), dtype=torch.int8)
    if to == "f32":
        x, packed = (x.int() + 127).to(torch.uint8), torch.ops.onednn.qlinear_prepack(w, [m, k])
        scales, zeros = torch.ones(n), torch.zeros(n, dtype=torch.int64)
        linear = torch.ops.onednn.qlinear_pointwise
        return {"qlinear, packed": lambda: linear(
            x, 1.0, 127, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], "")}
    transposed, out = w.T.contiguous(), torch.empty(m, n, dtype=torch.int32)
    return {
        "_int_mm": lambda: torch._int_mm(x, w.T, out=out),
        "_int_mm of a transposed copy": lambda: torch._int_mm(x, transposed, out=out),
    }


def ways(case):
    m, n, k, dtype = (case[key] for key in ("m", "n", "k", "dtype"))
    if case["case"] != "product" or dtype not in ("int8", *FLOATS):
        raise ValueError(f"case: expected a product in f32, bf16 or int8, found {case}")
    torch.set_num_threads(case["threads"])
    return int8_ways(m, n, k, case.get("to", "i32")) if dtype == "int8" else float_ways(FLOATS[dtype], m, n, k)


def print_ways(threads):
    for dtype, to in [("f32", "f32"), ("bf16", "bf16"), ("int8", "i32"), ("int8", "f32")]:
        for m, n, k in SIZES:
            case = {"case": "product", "dtype": dtype, "to": to, "m": m, "n": n, "k": k, "threads": threads}
            key = "cpu_seconds" if threads == 1 else "seconds"
            found = {name: 2e-9 * m * n * k / serving.measure(work)[key] for name, work in ways(case).items()}
            print(f"| {m} × {n} × {k} | {dtype} → {to} | {threads} | "
                  + ", ".join(f"{name} {rate:.0f}" for name, rate in found.items()) + " |", flush=True)


# Not inference_mode: oneDNN's packed weights are refused there.
with torch.no_grad():
    if "--ways" in sys.argv:
        print_ways(int((sys.argv[sys.argv.index("--ways") + 1:] + ["1"])[0]))
    else:
        serving.serve(NAME, lambda case: serving.fastest(ways(case)))
