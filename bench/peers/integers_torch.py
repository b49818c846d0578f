"""Backpropagation in single precision on the nets that `onward-integer` trains with integers alone.

`python integers_torch.py mnist FOLDER` (the unpacked files of MNIST): 784-256-10, the same rows, passes and batches, Adam with a rate that falls to 0; it prints
what is right among the last 10 000 training images, which are held out, and with --test 1 among the test images.
`python integers_torch.py text FILE`: the same minGRU (gate by the present byte, values by a window), hidden layer and head, Adam, truncated backpropagation: an
update after every k bytes of each stream, states handed on. It prints the bits a byte of the 100 000 bytes before the last 100 000, with --test 1 of these.
"""
import argparse, math, time
import numpy as np, torch
from torch.nn import functional as F

a = argparse.ArgumentParser()
a.add_argument("kind"); a.add_argument("path"); a.add_argument("--seed", type=int, default=1)
a.add_argument("--rate", type=float, default=0.001); a.add_argument("--test", type=int, default=0)
a.add_argument("--epochs", type=int, default=10); a.add_argument("--batch", type=int, default=256)
a.add_argument("--units", type=int, default=128); a.add_argument("--hidden", type=int, default=256)
a.add_argument("--window", type=int, default=4); a.add_argument("--streams", type=int, default=128)
a.add_argument("--k", type=int, default=16); a.add_argument("--tokens", type=int, default=3_000_000)
a = a.parse_args()
torch.set_num_threads(1); torch.manual_seed(a.seed)
begin = time.process_time()


def mnist():
    read = lambda name, skip: np.fromfile(f"{a.path}/{name}", dtype=np.uint8)[skip:]
    images = lambda name: torch.tensor(read(f"{name}-images-idx3-ubyte", 16).reshape(-1, 784) / 255.0, dtype=torch.float32)
    labels = lambda name: torch.tensor(read(f"{name}-labels-idx1-ubyte", 8).astype(np.int64))
    x, y = images("train"), labels("train")
    net = torch.nn.Sequential(torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
    opt = torch.optim.Adam(net.parameters(), a.rate)
    steps = 50_000 // a.batch * a.epochs
    falls = torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)
    share = lambda x, y: f"{100 * (net(x).argmax(1) == y).float().mean().item():.2f} %"
    for epoch in range(a.epochs):
        for rows in torch.randperm(50_000)[: 50_000 // a.batch * a.batch].view(-1, a.batch):
            opt.zero_grad(); F.cross_entropy(net(x[rows]), y[rows]).backward(); opt.step(); falls.step()
    with torch.no_grad():
        print(f"held out {share(x[50_000:], y[50_000:])}", f"{time.process_time() - begin:.0f} s")
        if a.test:
            print("test", share(images("t10k"), labels("t10k")))


def text():
    raw = np.fromfile(a.path, dtype=np.uint8)
    symbols, numbers = np.unique(raw, return_inverse=True)
    data, n = torch.tensor(numbers.astype(np.int64)), len(symbols)
    train, valid, test = data[:-200_000], data[-200_000:-100_000], data[-100_000:]
    part = len(train) // a.streams
    x = train[: part * a.streams].view(a.streams, part)
    values = torch.nn.ModuleList(torch.nn.Embedding(n, a.units) for _ in range(a.window))
    gate = torch.nn.Embedding(n, a.units)
    head = torch.nn.Sequential(torch.nn.Linear(a.units, a.hidden), torch.nn.ReLU(), torch.nn.Linear(a.hidden, n))
    with torch.no_grad():
        [v.weight.uniform_(-0.5, 0.5) for v in values]
        # As there: odds from 2^(120/16) to 2^(-90/16).
        gate.weight.copy_(((120 - 210 * torch.arange(a.units) / a.units) / 16 * math.log(2)).expand(n, -1))
    own = [*values.parameters(), *gate.parameters(), *head.parameters()]
    opt = torch.optim.Adam(own, a.rate)
    steps = a.tokens // (a.streams * a.k)
    falls = torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)

    def run(h, seen, length):
        """States and logits of the last `length` of `seen` (streams, window - 1 + length)."""
        v = sum(t(seen[:, a.window - 1 - i : a.window - 1 - i + length]) for i, t in enumerate(values)).clamp(-1, 1)
        z = torch.sigmoid(gate(seen[:, a.window - 1 :]))
        states = []
        for t in range(length):
            h = h + z[:, t] * (v[:, t] - h)
            states.append(h)
        return h, head(torch.stack(states, 1))

    def bits(rows):
        with torch.no_grad():
            padded = torch.cat([torch.zeros(a.window - 1, dtype=torch.int64), rows[:-1]])[None]
            _, logits = run(torch.zeros(1, a.units), padded, len(rows) - 1)
            return f"{F.cross_entropy(logits[0], rows[1:]).item() / math.log(2):.4f} bits"

    h, at = torch.zeros(a.streams, a.units), a.window - 1
    for step in range(steps):
        if at + a.k + 1 > part:
            at = a.window - 1
        h, logits = run(h.detach(), x[:, at - a.window + 1 : at + a.k], a.k)
        opt.zero_grad(); F.cross_entropy(logits.flatten(0, 1), x[:, at + 1 : at + a.k + 1].flatten()).backward()
        opt.step(); falls.step()
        at += a.k
    seconds = time.process_time() - begin
    print(f"{steps * a.streams * a.k} bytes, held out {bits(valid)}", f"{seconds:.0f} s", f"{steps * a.streams * a.k / seconds:.0f} bytes/s")
    if a.test:
        print("test", bits(test))


{"mnist": mnist, "text": text}[a.kind]()
