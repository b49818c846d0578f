#!/usr/bin/env python3
"""What `onward train` and `onward eval` hold in memory on a file of bf16 of a gigabyte, of which most is frozen (bench/mapped.md).

    python3 bench/mapped.py ONWARD FOLDER [ROWS]     writes 1 GB to FOLDER, to be deleted afterwards; needs numpy

A perceptron 64-22528-22528-10 on the digits, its middle matrix frozen. Prints the most memory that each command held (`VmHWM`), what of it was
anonymous when that was sampled last, and what is left beyond the file and two layers' activations of ROWS (1000) rows.
"""

import json
import pathlib
import subprocess
import sys
import time

import numpy as np

WIDTH = 22528
SPEC = """seed = 1
name = "mapped"
[data]
path = "{data}"
test = {rows}
[model]
kind = "mlp"
hidden = [{width}, {width}]
from = "base.safetensors"
storage = "bf16"
[method]
name = "two-point"
directions = 1
rate = 1e-4
[train]
batch = 64
steps = 3
eval_every = 3
rates = ["fc2.weight: 0"]
"""


def write(path):
    shapes = {"fc1.weight": [WIDTH, 64], "fc1.bias": [WIDTH], "fc2.weight": [WIDTH, WIDTH], "fc2.bias": [WIDTH], "fc3.weight": [10, WIDTH], "fc3.bias": [10]}
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    random = np.random.default_rng(1)
    with open(path, "wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for shape in shapes.values():
            left = int(np.prod(shape))
            while left > 0:
                count = min(left, 1 << 24)
                numbers = random.standard_normal(count, dtype=np.float32) * np.float32(0.01)
                file.write((numbers.view(np.uint32) >> 16).astype(np.uint16).tobytes())
                left -= count


def status(pid):
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines) if key in ("VmHWM", "RssAnon", "RssFile", "VmRSS")}


def held(command, folder):
    process, peak, anonymous = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL), 0, 0
    while process.poll() is None:
        now = status(process.pid)
        peak, anonymous = max(peak, now.get("VmHWM", 0)), max(anonymous, now.get("RssAnon", 0))
        time.sleep(0.01)
    if process.returncode:
        sys.exit(f"{command}: exit code {process.returncode}")
    return peak / 1024, anonymous / 1024


def main():
    program, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    rows = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "base.safetensors"
    if not file.exists():
        write(file)
    data = pathlib.Path(__file__).resolve().parents[1] / "data/digits.csv"
    (folder / "mapped.toml").write_text(SPEC.format(data=data, rows=rows, width=WIDTH))
    subprocess.run(["rm", "-rf", "runs"], cwd=folder, check=True)
    size, layers = file.stat().st_size / 2**20, 2 * rows * WIDTH * 4 / 2**20
    few = folder / "few.csv"
    few.write_text("".join(data.read_text().splitlines(keepends=True)[:18]))
    for name, command, own in [
        ("train", ["train", "mapped.toml", "--quiet", "--no-plots"], layers),
        ("eval", ["eval", "runs/mapped", "few.csv"], 0),
    ]:
        peak, anonymous = held([program, *command], folder)
        print(f"{name}: peak {peak:.0f} MiB, anonymous {anonymous:.0f} MiB; beyond the file of {size:.0f} MiB and {own:.0f} MiB of activations: {peak - size - own:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
