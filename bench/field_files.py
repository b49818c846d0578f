"""Makes the odd files of `field.py`: each function returns a text, bytes, or a function that makes them."""
import gzip
import io
import random
import struct
import zipfile

# Tables as text.


def numbers(rows=60, columns=4):
    """Rows of `columns` features and a label of two classes that follows from the first feature."""
    return [[(i * 7 + 3 * j) % 11 for j in range(columns)] + [int(i * 7 % 11 > 5)] for i in range(rows)]


def text(rows, header=None, end="\n", sep=","):
    lines = ([header] if header is not None else []) + [sep.join(str(v) for v in row) for row in rows]
    return "".join(line + end for line in lines)


def with_field(row, column, field, rows=60):
    """The usual rows with one field replaced."""
    table = numbers(rows)
    table[row][column] = field
    return text(table)


def labelled(labels, rows=60):
    return text([[i % 5, i % 3, labels[i % len(labels)]] for i in range(rows)])


def with_index(first, header, rows=60):
    """Four features behind a first column of `first(i)`; the label decides nothing but the first feature does."""
    return text([[first(i)] + row for i, row in enumerate(numbers(rows))], header)


def regression(rows=400, scale=5.0, offset=100.0, constant=None, digits=6):
    rng = random.Random(7)
    out = []
    for _ in range(rows):
        a, b = rng.uniform(-1, 1), rng.uniform(-1, 1)
        y = offset + scale * (5 * a - 3 * b + rng.gauss(0, 0.1))
        out.append([f"{a:.6f}", f"{b:.6f}", f"{y:.{digits}f}" if constant is None else constant])
    return text(out, "a,b,y")


def far_feature(rows=200):
    """A feature of 1.7e9 + 0…59: single precision steps by 128 there."""
    return text([[1_700_000_000 + i * 7 % 60, int(i * 7 % 60 > 29)] for i in range(rows)], "time,label")


def raw_features(rows=300):
    rng = random.Random(3)
    out = []
    for i in range(rows):
        label = i % 3
        out.append([f"{1000 * label + rng.gauss(0, 50):.3f}", f"{0.001 * rng.random():.6f}", f"{rng.uniform(0, 1e5):.1f}", label])
    return text(out, "income,rate,noise,label")


# Other formats, in a few lines each.


def npy(kind, values, shape, order="False", version=1):
    """An npy file; `kind` is numpy's, `values` are packed one by one."""
    codes = {"b1": "?", "u1": "B", "i1": "b", "u2": "H", "i2": "h", "u4": "I", "i4": "i", "u8": "Q", "i8": "q", "f2": "e", "f4": "f", "f8": "d"}
    end = ">" if kind[0] == ">" else "<"
    body = b"".join(struct.pack(end + codes[kind[1:]], v) for v in values)
    return npy_header(repr(kind), shape, order, version) + body


def npy_header(descr, shape, order="False", version=1):
    head = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    size = 2 if version == 1 else 4
    head += b" " * (-(len(head) + 1 + 8 + size) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(head).to_bytes(size, "little") + head


def flat(rows=60, columns=4):
    return [v for row in numbers(rows, columns) for v in row]


def table_npy(kind, **more):
    return npy(kind, flat(), "(60, 5)", **more)


def by_columns():
    rows = numbers()
    return npy("<f4", [rows[i][j] for j in range(5) for i in range(60)], "(60, 5)", "True")


def nan_at(row, column=2):
    values = flat(200)
    values[row * 5 + column] = float("nan")
    return npy("<f8", values, "(200, 5)")


def npz(packed=False, **arrays):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            archive.writestr(name + ".npy", array)
    return out.getvalue()


def xs(rows=60, columns=4, kind="<f4"):
    return npy(kind, [v for row in numbers(rows, columns) for v in row[:-1]], f"({rows}, {columns})")


def ys(rows=60, kind="|u1", shape=None):
    return npy(kind, [row[-1] for row in numbers(rows)], shape or f"({rows},)")


def idx(values, *shape, kind=8):
    code = {8: "B", 9: "b", 11: "h", 12: "i", 13: "f", 14: "d"}[kind]
    head = bytes([0, 0, kind, len(shape)]) + b"".join(struct.pack(">I", n) for n in shape)
    return head + b"".join(struct.pack(">" + code, v) for v in values)


def mnist(labels=60, kind=8, packed=False, images=None, suffix="-ubyte"):
    """The four files, of 60 and 20 images of 3 × 2."""
    pixels = lambda n: [(i * 37) % 251 % (128 if kind == 9 else 256) for i in range(n * 6)]
    files = {
        "train-images-idx3": images or idx(pixels(60), 60, 3, 2, kind=kind),
        "train-labels-idx1": idx([i % 3 for i in range(labels)], labels),
        "t10k-images-idx3": idx(pixels(20), 20, 3, 2, kind=kind),
        "t10k-labels-idx1": idx([i % 3 for i in range(20)], 20),
    }
    pack = (lambda b: gzip.compress(b)) if packed else (lambda b: b)
    return {f"m/{name}{suffix}{'.gz' if packed else ''}": pack(bytes_) for name, bytes_ in files.items()}


# Files that other programs write.


class Missing(Exception):
    """A library that a case needs is not installed."""


def library(name):
    try:
        return __import__(name, fromlist=["_"])
    except ImportError as error:
        raise Missing(f"no {name.split('.')[0]}") from error


def frame(rows=60):
    pandas = library("pandas")
    return pandas.DataFrame(numbers(rows), columns=["a", "b", "c", "d", "label"])


def by_pandas(change=lambda frame: frame, **options):
    def make():
        library("pyarrow")
        out = io.BytesIO()
        change(frame()).to_parquet(out, engine="pyarrow", **options)
        return out.getvalue()

    return make


def by_arrow(change=lambda pyarrow, columns: None, spoil=None, **options):
    """A Parquet file of the usual columns after `change(pyarrow, columns)`."""

    def make():
        pyarrow, parquet = library("pyarrow"), library("pyarrow.parquet")
        rows = numbers()
        columns = {name: pyarrow.array([float(row[j]) for row in rows]) for j, name in enumerate("abcd")}
        columns["label"] = pyarrow.array([row[4] for row in rows])
        change(pyarrow, columns)
        out = io.BytesIO()
        parquet.write_table(pyarrow.table(columns), out, **options)
        return spoil(out.getvalue()) if spoil else out.getvalue()

    return make


def wrong_checksum(data):
    """A value of the first page changed: column a, plain, not packed, holds 10.0 somewhere; make it 9.0."""
    old, new = struct.pack("<d", 10.0), struct.pack("<d", 9.0)
    assert old in data
    return data.replace(old, new, 1)


def column(name, make):
    def change(pyarrow, columns):
        columns[name] = make(pyarrow)

    return change


def date_column(pyarrow):
    import datetime

    return pyarrow.array([datetime.date(2020, 1, 1 + i % 28) for i in range(60)])


def decimal_column(pyarrow):
    import decimal

    return pyarrow.array([decimal.Decimal(i % 7) for i in range(60)], pyarrow.decimal128(10, 2))


def null_column(pyarrow):
    return pyarrow.array([None if i == 17 else float(i % 7) for i in range(60)])


def nan_column(pyarrow):
    return pyarrow.array([float("nan") if i == 17 else float(i % 7) for i in range(60)])


def numpy_saved(expression):
    """What numpy.save writes of `expression(numpy)`."""

    def make():
        numpy = library("numpy")
        out = io.BytesIO()
        numpy.save(out, expression(numpy), allow_pickle=True)
        return out.getvalue()

    return make
