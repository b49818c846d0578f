"""Makes testdata/onnx/: small nets as PyTorch exports them, each with rows that went in and what came out.

    python -m venv v && v/bin/pip install torch onnx onnxscript safetensors numpy
    v/bin/python testdata/make_onnx.py

Both of PyTorch's exporters are asked, as their files differ. Rows are as Onward has them: images with their channels last.
"""

import pathlib
import sys
import warnings

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as f

warnings.filterwarnings("ignore")


class Mlp(nn.Module):
    def __init__(self, inputs=8, width=16, outputs=3):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width),
            nn.Linear(width, outputs),
        )

    def forward(self, x):
        return self.net(x)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        self.c2, self.b2 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)

    def forward(self, x):
        return torch.relu(x + self.b2(self.c2(torch.relu(self.b1(self.c1(x))))))


class Residual(nn.Module):
    """Flattens at the end, so that the order of axes matters there too."""

    def __init__(self, side=8, channels=2, width=4, outputs=10):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width)
        self.block, self.pool = Block(width), nn.MaxPool2d(2)
        self.down = nn.Conv2d(width, width, (3, 2), stride=2, padding=(1, 0), groups=2)
        places = (side // 4) ** 2
        self.fc = nn.Linear(width * places, outputs)
        for norm in [m for m in self.modules() if isinstance(m, nn.BatchNorm2d)]:
            nn.init.uniform_(norm.running_mean, -0.5, 0.5)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
            nn.init.uniform_(norm.weight, 0.5, 1.5)

    def forward(self, x):
        x = self.pool(self.block(torch.relu(self.norm(self.stem(x)))))
        return self.fc(torch.flatten(torch.tanh(self.down(x)), 1))


class Recurrent(nn.Module):
    def __init__(self, cell, inputs=4, width=8, outputs=3, both=False):
        super().__init__()
        self.rnn = cell(inputs, width, batch_first=True, bidirectional=both)
        self.fc = nn.Linear(width * (2 if both else 1), outputs)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1])


class Attending(nn.Module):
    def __init__(self, w, heads):
        super().__init__()
        self.heads = heads
        self.n1, self.qkv, self.o = nn.LayerNorm(w), nn.Linear(w, 3 * w), nn.Linear(w, w)
        self.n2, self.up, self.down = nn.LayerNorm(w), nn.Linear(w, 2 * w), nn.Linear(2 * w, w)

    def forward(self, x):
        b, t, w = x.shape
        heads = [z.view(b, t, self.heads, w // self.heads).transpose(1, 2) for z in self.qkv(self.n1(x)).split(w, -1)]
        y = f.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.o(y.transpose(1, 2).reshape(b, t, w))
        return x + self.down(f.gelu(self.up(self.n2(x))))


class Transformer(nn.Module):
    def __init__(self, words=11, items=6, width=8, heads=2, blocks=2):
        super().__init__()
        self.tok, self.pos = nn.Embedding(words, width), nn.Parameter(torch.randn(items, width) * 0.1)
        self.blocks = nn.ModuleList([Attending(width, heads) for _ in range(blocks)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words)

    def forward(self, t):
        x = self.tok(t) + self.pos
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, -1])


class Encoder(nn.Module):
    """PyTorch's own layers: batch and heads share an axis there."""

    def __init__(self, inputs=4, width=8, heads=2, outputs=3):
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, batch_first=True, dropout=0.0)
        self.inp = nn.Linear(inputs, width)
        self.enc = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.fc = nn.Linear(width, outputs)

    def forward(self, x):
        return self.fc(self.enc(self.inp(x)).mean(1))


def nets():
    """Name, net and rows of each."""
    torch.manual_seed(0)
    return [
        ("mlp", Mlp(), torch.randn(5, 8)),
        ("residual", Residual(), torch.randn(5, 2, 8, 8)),
        ("lstm", Recurrent(nn.LSTM), torch.randn(5, 6, 4)),
        ("lstm-both", Recurrent(nn.LSTM, both=True), torch.randn(5, 6, 4)),
        ("gru", Recurrent(nn.GRU), torch.randn(5, 6, 4)),
        ("transformer", Transformer(), torch.randint(0, 11, (5, 6))),
        ("encoder", Encoder(), torch.randn(5, 6, 4)),
    ]


def export(net, rows, path, new):
    """Writes the net by the new exporter or the old one."""
    net.eval()
    if new:
        shapes = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(net, (rows,), path, dynamo=True, external_data=False, dynamic_shapes=shapes, verbose=False)
    else:
        names = {"input_names": ["input"], "output_names": ["output"]}
        torch.onnx.export(net, (rows,), path, dynamo=False, dynamic_axes={"input": {0: "batch"}}, **names)
    strip(path)


def strip(path):
    """Takes out what says where in the exporter's sources each node came from: it is longer than the net."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*graph.input, *graph.output]:
        del value.metadata_props[:]
    del graph.value_info[:], graph.metadata_props[:], model.metadata_props[:]
    onnx.save(model, path)


def main():
    folder = pathlib.Path(__file__).parent / "onnx"
    folder.mkdir(exist_ok=True)
    for name, net, rows in nets():
        for new in (True, False):
            export(net, rows, str(folder / f"{name}-{'new' if new else 'old'}.onnx"), new)
        with torch.no_grad():
            answers = net(rows)
        rows = rows.permute(0, 2, 3, 1) if rows.dim() == 4 else rows
        save_file({"rows": rows.float().contiguous(), "answers": answers}, folder / f"{name}.safetensors")


if __name__ == "__main__":
    sys.exit(main())
