"""evosax's OpenES on the nets of bench/alternate.py: ask, evaluate and tell compiled as one function."""
import os
from importlib.metadata import version

import jax
import jax.numpy as jnp
from evosax.algorithms import Open_ES
from jax import lax

DTYPES = {"f32": jnp.float32, "bf16": jnp.bfloat16}
WIDTHS = [784, 256, 256, 10]
CHANNELS = [1, 16, 16, 16, 16, 16, 16]
SIGMA = 0.02


def name(_library):
    return f"evosax {version('evosax')}, JAX {jax.__version__}"


def ways(_library, _net):
    return [f"map, chunk {chunk}, threefry2x32" for chunk in (1, 16, 128)] + \
        [f"vmap, {noise}" for noise in ("threefry2x32", "rbg", "unsafe_rbg")]


def first_values(net):
    key = iter(jax.random.split(jax.random.key(1), 16))
    he = lambda shape, fan_in: jax.random.normal(next(key), shape) * (2 / fan_in) ** 0.5
    if net == "mlp":
        return [(he((i, o), i), jnp.zeros(o)) for i, o in zip(WIDTHS, WIDTHS[1:])]
    layers = [(he((3, 3, i, o), 9 * i), jnp.ones(o), jnp.zeros(o)) for i, o in zip(CHANNELS, CHANNELS[1:])]
    return layers, he((CHANNELS[-1], 10), CHANNELS[-1])


def mlp_logits(params, x):
    for w, b in params[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = params[-1]
    return x @ w + b


def conv_logits(params, x):
    layers, fc = params
    for i, (w, gamma, beta) in enumerate(layers):
        x = lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        if i in (1, 3):
            s, h, width, c = x.shape
            x = x.reshape(s, h // 2, 2, width // 2, 2, c).mean((2, 4))
        mean = x.mean((0, 1, 2))
        variance = ((x - mean) ** 2).mean((0, 1, 2))
        x = jax.nn.relu((x - mean) * (gamma * lax.rsqrt(variance + 1e-5)) + beta)
    return x.mean((1, 2)) @ fc


def loss_of(net, x, y, dtype):
    def loss(params):
        params = jax.tree.map(lambda p: p.astype(dtype), params)
        logits = (mlp_logits if net == "mlp" else conv_logits)(params, x).astype(jnp.float32)
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1)
        return -picked.mean()

    return loss


def generation(_library, case, way):
    if case["threads"] != len(os.sched_getaffinity(0)):
        raise ValueError("threads: XLA takes all processors of the process; use taskset")
    dtype, net, (kind, *rest) = DTYPES[case["dtype"]], case["net"], way.split(", ")
    shape = (case["samples"], 784) if net == "mlp" else (case["samples"], 28, 28, 1)
    x = jax.random.uniform(jax.random.key(2), shape).astype(dtype)
    loss = loss_of(net, x, jax.random.randint(jax.random.key(3), (case["samples"],), 0, 10), dtype)
    first = first_values(net)
    algorithm = Open_ES(case["members"], first, std_schedule=lambda _: SIGMA)
    params = algorithm.default_params

    def evaluate(population):
        if kind == "vmap":
            return jax.vmap(loss)(population)
        chunk = int(rest[0].split()[1])
        return lax.map(loss, population, batch_size=chunk if chunk > 1 else None)

    def step(key, state):
        key, ask, tell = jax.random.split(key, 3)
        population, state = algorithm.ask(ask, state, params)
        return key, algorithm.tell(tell, population, evaluate(population), state, params)[0]

    compiled = jax.jit(step, donate_argnums=(0, 1))
    key = jax.random.key(4, impl=rest[-1])
    state = algorithm.init(key, first, params)

    def work():
        nonlocal key, state
        key, state = jax.block_until_ready(compiled(key, state))

    return work
