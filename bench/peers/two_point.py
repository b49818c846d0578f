#!/usr/bin/env python3
"""A two-point step on all weights in PyTorch, in place with noise drawn again from its seed, served to bench/alternate.py.

    pip install -r bench/peers/requirements-torch.txt
    echo '{"case": "two-point", "part": "step", "widths": [2048, 4096, 4096, 4096, 2048], "batch": 64, "dtype": "f32",
           "threads": 2}' | tr -d '\\n' | python3 bench/peers/two_point.py

As MeZO does it (Malladi et al. 2023): w + σz, a forward pass, w − 2σz, a forward pass, then back and the update. Those two
are one pass here (w + (σ − ηg)z), so noise is drawn three times a step, not four. Weights change before every pass,
so packing them is part of the step; a plain forward pass has them packed beforehand.
"""
import itertools

import serving
import torch
import torch.nn.functional as F

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
SIGMA, RATE = 1e-2, 1e-3
linear = torch.ops.mkldnn._linear_pointwise


def forward(layers, x, y, product):
    for w, b in layers[:-1]:
        x = F.relu_(product(x, w, b))
    w, b = layers[-1]
    return F.cross_entropy(product(x, w, b).float(), y)


def onednn(x, w, b):
    return linear(x, w, b, "none", [], "")


def packing(x, w, b):
    return onednn(x, torch.ops.mkldnn._reorder_linear_weight(w, len(x)), b)


PRODUCTS = {"linear": F.linear, "oneDNN": onednn, "oneDNN, packing": packing}


def step(layers, x, y, product):
    generator = torch.Generator()
    scratch = torch.empty(max(w.numel() for w, _ in layers), dtype=x.dtype)
    seeds = itertools.count()

    def move(seed, by):
        generator.manual_seed(seed)
        for w in itertools.chain(*layers):
            z = scratch[:w.numel()].view_as(w).normal_(generator=generator)
            w.add_(z, alpha=by)

    def work():
        seed = next(seeds)
        move(seed, SIGMA)
        plus = forward(layers, x, y, product)
        move(seed, -2 * SIGMA)
        minus = forward(layers, x, y, product)
        move(seed, SIGMA - RATE * float(plus - minus) / (2 * SIGMA))

    return work


def prepare(case):
    if case["case"] != "two-point" or case["part"] not in ("step", "forward") or case["dtype"] not in DTYPES:
        raise ValueError(f"case: expected a two-point step or forward pass in f32 or bf16, found {case}")
    torch.set_num_threads(case["threads"])
    dtype, widths, batch = DTYPES[case["dtype"]], case["widths"], case["batch"]
    layers = [(torch.randn(o, i).mul_((2 / i) ** 0.5).to(dtype), torch.zeros(o, dtype=dtype))
              for i, o in itertools.pairwise(widths)]
    x, y = torch.randn(batch, widths[0]).to(dtype), torch.randint(0, widths[-1], (batch,))
    if case["part"] == "forward":
        packed = [(torch.ops.mkldnn._reorder_linear_weight(w, batch), b) for w, b in layers]
        return serving.fastest({"linear": lambda: forward(layers, x, y, F.linear),
                                "oneDNN, packed": lambda: forward(packed, x, y, onednn)})
    # Which product is fastest is found with forward passes alone: noise is the same for all.
    way, _ = serving.fastest({name: lambda p=p: forward(layers, x, y, p) for name, p in PRODUCTS.items()})
    return way, step(layers, x, y, PRODUCTS[way])


with torch.no_grad():
    serving.serve(f"PyTorch {torch.__version__}", prepare)
