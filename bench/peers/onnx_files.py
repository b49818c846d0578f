"""ONNX in and out held against PyTorch and onnxruntime.

    python -m venv VENV && VENV/bin/pip install -r bench/peers/requirements-onnx.txt
    cargo build --release
    VENV/bin/python bench/peers/onnx_files.py target/release/onward

In: nets of testdata/make_onnx.py, as both of PyTorch's exporters write them; what `onward predict` answers from their weights is held
against PyTorch's answers. Out: the same nets after some steps of training, and nets that specs name, in f32 and int8; what onnxruntime
answers from the exported file is held against `onward predict`. Prints the largest difference of each, in columns of bench/onnx.md.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import warnings
from importlib.metadata import version

import numpy as np
import onnxruntime
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "testdata"))
import make_onnx  # noqa: E402

warnings.filterwarnings("ignore")
ROWS = 200


def rows_like(rows):
    if rows.dtype == torch.int64:
        return torch.randint(0, int(rows.max()) + 1, (ROWS, *rows.shape[1:]))
    return torch.randn(ROWS, *rows.shape[1:])


def as_onward(rows):
    """Rows as Onward has them, and their shape there."""
    rows = rows.float()
    if rows.dim() == 4:
        rows = rows.permute(0, 2, 3, 1)
    shape = {2: [1, 1, rows.shape[-1]], 3: [1, *rows.shape[1:]], 4: list(rows.shape[1:])}[rows.dim()]
    return rows.reshape(len(rows), -1).numpy(), shape


class Place:
    """A folder with rows, in which runs are made."""

    def __init__(self, program, folder, rows, shape, classes):
        self.program, self.folder, self.shape = program, folder, shape
        lines = [",".join([f"x{n}" for n in range(rows.shape[1])] + ["label"])]
        for index, row in enumerate(rows):
            lines.append(",".join([repr(float(v)) for v in row] + [str(index % classes)]))
        (folder / "rows.csv").write_text("\n".join(lines) + "\n")

    def onward(self, *words):
        return subprocess.run([self.program, *words], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def train(self, name, model, steps, rate):
        spec = f"""seed = 1
[data]
path = "rows.csv"
label = "label"
center = "none"
shape = {self.shape}
[model]
{model}
[method]
name = "two-point"
directions = 4
rate = {rate}
[train]
batch = 32
steps = {steps}
"""
        (self.folder / f"{name}.toml").write_text(spec)
        self.onward("train", f"{name}.toml", "--quiet")

    def answers(self, name):
        lines = self.onward("predict", f"runs/{name}", "rows.csv", "--json").splitlines()
        return np.array([json.loads(line)["outputs"] for line in lines], dtype=np.float64)

    def exported(self, name, rows):
        self.onward("export", f"runs/{name}", "--as", "onnx", "--out", f"{name}.onnx", "--quiet")
        session = onnxruntime.InferenceSession(str(self.folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: rows})[0].reshape(len(rows), -1).astype(np.float64)


def distance(a, b):
    return f"{np.abs(a - b).max():.1e}" if not np.array_equal(a, b) else "0"


def imported(program):
    for name, net, rows in make_onnx.nets():
        rows = rows_like(rows)
        flat, shape = as_onward(rows)
        with torch.no_grad():
            wanted = net.eval()(rows).numpy().astype(np.float64)
        for new in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                place = Place(program, pathlib.Path(folder), flat, shape, wanted.shape[1])
                make_onnx.export(net, rows[:2], str(place.folder / "net.onnx"), new)
                model = 'kind = "onnx"\npath = "net.onnx"'
                # A rate that moves nothing: the answers are those of the file's own weights.
                place.train("still", model, 1, 1e-30)
                before = distance(place.answers("still"), wanted)
                place.train("tuned", model, 20, 0.01)
                tuned = place.answers("tuned")
                after = distance(place.exported("tuned", rows.numpy()), tuned)
                moved = np.abs(tuned - wanted).max()
            exporter = "torch.export" if new else "TorchScript"
            print(f"| {name} | {exporter} | {before} | {after} | {moved:.1e} |", flush=True)


def named(program):
    torch.manual_seed(1)
    nets = {
        "mlp": ([1, 1, 12], 'kind = "mlp"\nhidden = [32, 32]'),
        "conv": ([8, 8, 3], 'kind = "conv"\nchannels = [8, 8, 8]\npool_after = [0]\nresidual = [-1, -1, 0]\nbatch_norm = false\nglobal_pool = "none"'),
        "conv, normalised": ([8, 8, 3], 'kind = "conv"\nchannels = [8, 8, 8]\nmax_pool_after = [0]\nresidual = [-1, -1, 1]'),
    }
    for name, (shape, model) in nets.items():
        rows = torch.randn(ROWS, *shape)
        taken = rows.permute(0, 3, 1, 2) if name != "mlp" else rows.reshape(ROWS, -1)
        for precision in ("f32", "int8"):
            with tempfile.TemporaryDirectory() as folder:
                place = Place(program, pathlib.Path(folder), rows.reshape(ROWS, -1).numpy(), shape, 5)
                place.train("run", f'{model}\nprecision = "{precision}"', 20, 0.01)
                found = distance(place.exported("run", taken.contiguous().numpy()), place.answers("run"))
            print(f"| {name} | {precision} | {found} |", flush=True)


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    print(f"PyTorch {torch.__version__}, onnx {version('onnx')}, onnxruntime {onnxruntime.__version__}\n")
    print("| net | exporter | in: against PyTorch | out: against onnxruntime | moved by training |\n|---|---|---|---|---|")
    imported(program)
    print("\n| net | arithmetic | out: against onnxruntime |\n|---|---|---|")
    named(program)


if __name__ == "__main__":
    main()
