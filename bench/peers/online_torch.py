"""Truncated backpropagation through time on delayed copy, an update at every step: the rival of `method.name = "online"`.

`python online_torch.py copy5.csv.gz --cell gru --units 32 --k 6` reads a table of x (-1 or 1) and y (0 or 1), holds the last 2000 rows out, cuts the
rest into streams, and at every step sends the loss of that step back through the last k steps, run anew with the present weights. It prints the
test accuracy every 50 steps, until it is 0.99, and the seconds of one thread.
With `--vocabulary 65` the file is one of tokens of two bytes, each to be answered by the next; the last 20000 are held out, and their bits per token told.
"""
import argparse, array, csv, gzip, math, time
import torch

a = argparse.ArgumentParser()
a.add_argument("path"); a.add_argument("--cell", default="gru"); a.add_argument("--units", type=int, default=32)
a.add_argument("--k", type=int, default=1); a.add_argument("--streams", type=int, default=16)
a.add_argument("--steps", type=int, default=8000); a.add_argument("--rate", type=float, default=0.003)
a.add_argument("--seed", type=int, default=1); a.add_argument("--test", type=int, default=2000)
a.add_argument("--vocabulary", type=int, default=0); a.add_argument("--every", type=int, default=50)
a = a.parse_args()
torch.set_num_threads(1); torch.manual_seed(a.seed)
if a.vocabulary:
    tokens = array.array("H"); tokens.frombytes(open(a.path, "rb").read())
    tokens = torch.tensor(tokens.tolist()); x, y = tokens[:-1], tokens[1:]
else:
    rows = list(csv.reader(gzip.open(a.path, "rt")))[1:]
    x = torch.tensor([float(r[0]) for r in rows]); y = torch.tensor([int(r[1]) for r in rows])
x, y, tx, ty = x[:-a.test], y[:-a.test], x[-a.test:], y[-a.test:]
if not a.vocabulary:
    mean, sd = x.mean(), x.std(unbiased=False)
    x, tx = (x - mean) / sd, (tx - mean) / sd
length = len(x) // a.streams
x, y = x[: length * a.streams].view(a.streams, length), y[: length * a.streams].view(a.streams, length)
cell = {"gru": torch.nn.GRUCell, "lstm": torch.nn.LSTMCell}[a.cell](a.units if a.vocabulary else 1, a.units)
head = torch.nn.Linear(a.units, a.vocabulary or 2)
embed = torch.nn.Embedding(a.vocabulary, a.units) if a.vocabulary else (lambda x: x.view(-1, 1))
own = [*cell.parameters(), *head.parameters()] + (list(embed.parameters()) if a.vocabulary else [])
opt = torch.optim.Adam(own, a.rate, betas=(0.9, 0.99))
lstm = a.cell == "lstm"
zero = lambda n: (torch.zeros(n, a.units), torch.zeros(n, a.units)) if lstm else torch.zeros(n, a.units)
out = lambda s: head(s[0] if lstm else s)
cut = lambda s: tuple(v.detach() for v in s) if lstm else s.detach()
states = [zero(a.streams)]  # those before the last k steps
begin = time.process_time()
for step in range(a.steps):
    t = step % length
    s = cut(states[0])
    for back in range(len(states) - 1, -1, -1):
        s = cell(embed(x[:, (step - back) % length]), s)
    loss = torch.nn.functional.cross_entropy(out(s), y[:, t])
    opt.zero_grad(); loss.backward(); opt.step()
    # The state k - 1 steps back goes on with the weights that it was first run with.
    states = states[1:] + [cut(s)] if len(states) == a.k else states + [cut(s)]
    if (step + 1) % a.every == 0:
        with torch.no_grad():
            s, right, bits = zero(1), 0, 0.0
            for i in range(a.test):
                s = cell(embed(tx[i].view(1)), s)
                answer = out(s)
                right += int(answer.argmax()) == int(ty[i])
                bits += torch.nn.functional.cross_entropy(answer, ty[i].view(1)).item() / math.log(2)
        seconds = f"{time.process_time() - begin:.1f} s"
        if a.vocabulary:
            print(step + 1, f"{bits / a.test:.4f} bits", seconds, flush=True)
        elif (step + 1) % 500 == 0 or right / a.test >= 0.99:
            print(step + 1, loss.item(), right / a.test, seconds, flush=True)
        if not a.vocabulary and right / a.test >= 0.99:
            break
