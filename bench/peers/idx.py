"""Arrays of the idx files that MNIST comes in."""
import gzip

import numpy as np


def read_idx(folder, name):
    """The array in `folder/name`, or in the same with .gz."""
    for path in (folder / name, folder / (name + ".gz")):
        if path.exists():
            data = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
            shape = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "big") for i in range(data[3])]
            return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    raise SystemExit(f"{folder / name}: expected this file or {name}.gz, found neither")
