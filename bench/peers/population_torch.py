"""EvoTorch (functional PGPE) and EvoX (OpenES; its virtual low-rank ES) on the nets of bench/alternate.py."""
import math
from importlib.metadata import version

import torch
import torch.nn.functional as F
from evotorch.algorithms.functional import pgpe, pgpe_ask, pgpe_tell

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
WIDTHS = [784, 256, 256, 10]
CHANNELS = [1, 16, 16, 16, 16, 16, 16]
SIGMA, RATE = 0.02, 0.01


def name(library):
    return f"{library} {version(library.removesuffix('-lora'))}, PyTorch {torch.__version__}"


def ways(library, net):
    if library == "evox-lora":
        return [f"chunk {chunk}" for chunk in (1, 4, 16, 64, 1024)]
    if net == "conv":
        return ["one by one", "one by one, channels last", "grouped, chunk 8"]
    return ["one by one", "one by one, oneDNN"] + [f"bmm, chunk {chunk}" for chunk in (8, 64, 1024)]


def shapes(net):
    if net == "mlp":
        return [shape for i, o in zip(WIDTHS, WIDTHS[1:]) for shape in ((o, i), (o,))]
    layers = [shape for i, o in zip(CHANNELS, CHANNELS[1:]) for shape in ((o, i, 3, 3), (o,), (o,))]
    return layers + [(10, CHANNELS[-1])]


def first_values(net):
    def one(shape):
        if len(shape) == 1:
            return torch.full(shape, 0.0 if net == "mlp" else 1.0)
        return torch.randn(shape) * math.sqrt(2 / math.prod(shape[1:]))

    return torch.cat([one(shape).flatten() for shape in shapes(net)])


def tensors(net, members):
    """The tensors of `members` (P, dim), each (P, …), as views."""
    sizes = [math.prod(shape) for shape in shapes(net)]
    parts = members.split(sizes, dim=1)
    return [part.unflatten(1, shape) for part, shape in zip(parts, shapes(net))]


def cross_entropy(logits, y):
    """The mean of each member; `logits` (P, S, 10)."""
    losses = F.cross_entropy(logits.flatten(0, 1).float(), y.repeat(len(logits)), reduction="none")
    return losses.view(len(logits), -1).mean(1)


def mlp_logits(members, x, way):
    """(P, S, 10) by one batched product per layer, or one member after the other."""
    parts = tensors("mlp", members)
    if way.startswith("bmm"):
        h = x.expand(len(members), *x.shape)
        for layer in range(0, len(parts), 2):
            h = torch.baddbmm(parts[layer + 1].unsqueeze(1), h if layer == 0 else h.relu_(), parts[layer].mT)
        return h
    linear = torch.ops.mkldnn._linear_pointwise
    outputs = []
    for member in zip(*parts):
        h = x
        for layer in range(0, len(member), 2):
            w, b, last = member[layer], member[layer + 1], layer == len(member) - 2
            if way.endswith("oneDNN"):
                h = linear(h, w, b, "none" if last else "relu", [], "")
            else:
                h = F.linear(h, w, b) if last else F.linear(h, w, b).relu_()
        outputs.append(h)
    return torch.stack(outputs)


def conv_logits(members, x, way):
    parts = tensors("conv", members)
    if way.startswith("grouped"):
        return grouped_logits(parts, x)
    outputs = []
    for member in zip(*parts):
        h = x
        for layer in range(6):
            w, gamma, beta = member[3 * layer:3 * layer + 3]
            if way.endswith("channels last"):
                w = w.contiguous(memory_format=torch.channels_last)
            h = F.conv2d(h, w, padding=1)
            h = F.avg_pool2d(h, 2) if layer in (1, 3) else h
            h = F.batch_norm(h, None, None, gamma, beta, training=True).relu_()
        outputs.append(F.linear(h.mean((2, 3)), member[-1]))
    return torch.stack(outputs)


def grouped_logits(parts, x):
    """All members as groups of one convolution: (S, P·16, H, W)."""
    count = len(parts[0])
    h = x.repeat(1, count, 1, 1)
    for layer in range(6):
        w, gamma, beta = parts[3 * layer:3 * layer + 3]
        h = F.conv2d(h, w.flatten(0, 1), padding=1, groups=count)
        h = F.avg_pool2d(h, 2) if layer in (1, 3) else h
        h = F.batch_norm(h, None, None, gamma.flatten(), beta.flatten(), training=True).relu_()
    h = h.mean((2, 3)).unflatten(1, (count, 16)).transpose(0, 1)
    return torch.bmm(h, parts[-1].mT)


def chunk_of(way, members):
    return int(way.split("chunk ")[1].split(",")[0]) if "chunk" in way else members


class Fitness:
    """The loss of each row of a population (P, dim)."""

    def __init__(self, case, way):
        self.net, self.way, self.dtype = case["net"], way, DTYPES[case["dtype"]]
        shape = (case["samples"], 784) if self.net == "mlp" else (case["samples"], 1, 28, 28)
        self.x = torch.rand(shape).to(self.dtype)
        if way.endswith("channels last"):
            self.x = self.x.contiguous(memory_format=torch.channels_last)
        self.y = torch.randint(0, 10, (case["samples"],))
        self.chunk = chunk_of(way, 64)

    def __call__(self, population):
        logits = mlp_logits if self.net == "mlp" else conv_logits
        found = [cross_entropy(logits(part.to(self.dtype), self.x, self.way), self.y)
                 for part in population.split(self.chunk)]
        return torch.cat(found)


def evotorch_generation(case, fitness):
    state = pgpe(center_init=first_values(case["net"]), center_learning_rate=RATE, stdev_learning_rate=0.1,
                 objective_sense="min", ranking_method="centered", stdev_init=SIGMA)

    def work():
        nonlocal state
        population = pgpe_ask(state, popsize=case["members"])
        state = pgpe_tell(state, population, fitness(population))

    return work


def evox_generation(case, fitness):
    from evox.algorithms import OpenES
    from evox.core import Problem
    from evox.workflows import StdWorkflow

    class Losses(Problem):
        def evaluate(self, population):
            return fitness(population)

    algorithm = OpenES(case["members"], first_values(case["net"]), RATE, SIGMA)
    return StdWorkflow(algorithm, Losses()).step


def lora_generation(case, way):
    """EvoX's own low-rank population, rank 1; the seeds in chunks, which it has no key for."""
    from evox.algorithms.so.es_variants.virtual_lora_es import VirtualLoRAES
    from evox.problems.neuroevolution.virtual_lora_problem import VirtualLoRAProblem
    from evox.workflows import StdWorkflow

    class Chunked(VirtualLoRAProblem):
        def evaluate(self, payload):
            center, seeds, sigma = payload
            found = [VirtualLoRAProblem.evaluate(self, (center, part, sigma)) for part in seeds.split(chunk)]
            return torch.cat(found)

    chunk = chunk_of(way, case["members"])
    layers = [torch.nn.Linear(i, o) for i, o in zip(WIDTHS, WIDTHS[1:])]
    relu = torch.nn.ReLU()
    model = torch.nn.Sequential(layers[0], relu, layers[1], torch.nn.ReLU(), layers[2])
    data = [(torch.rand(case["samples"], 784), torch.randint(0, 10, (case["samples"],)))]
    problem = Chunked(model, data, torch.nn.CrossEntropyLoss(reduction="none"), 1, -1)
    algorithm = VirtualLoRAES(problem.param_shapes, 1, case["members"], first_values("mlp"), RATE, SIGMA)
    return StdWorkflow(algorithm, problem).step


def generation(library, case, way):
    torch.set_num_threads(case["threads"])
    if library == "evox-lora":
        if case["dtype"] != "f32":
            raise ValueError("dtype: EvoX's low-rank population is f32")
        work = lora_generation(case, way)
    else:
        fitness = Fitness(case, way)
        work = (evotorch_generation if library == "evotorch" else evox_generation)(case, fitness)

    def without_gradients():
        with torch.no_grad():
            work()

    return without_gradients
