#!/usr/bin/env python3
"""Gives the program input that was made to break it, with 2 GB of address space: nothing may abort, panic or be answered.

    python3 bench/hostile.py [--binary target/release/onward] [--kilobytes 2000000]

Each case is a file, a spec or a count; each has to be refused with exit code 2 (3 where it is a file of a run) and one line
that begins with `error: ` (or the allocator's own words). Before and after, digits train under the same limit. Needs only
Python's standard library and a build with `--features parquet`.
"""
import argparse
import gzip
import io
import os
import pathlib
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPEC = """seed = 1
data = {{ path = "{data}" }}
model = {{ kind = "mlp", hidden = [4] }}
train = {{ batch = 20, steps = 5 }}
method = {{ name = "two-point" }}
"""
HUGE = [2**31 - 1, 2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1]


def npy(shape, descr="<f4", data=b"\0" * 64, version=1):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def npz(**arrays):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in arrays.items():
            file.writestr(f"{name}.npy", data)
    return out.getvalue()


def idx(sides, kind=8, data=b"\0" * 64):
    return bytes([0, 0, kind, len(sides)]) + b"".join(struct.pack(">I", side) for side in sides) + data


def varint(n):
    out = b""
    while n >= 128:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def thrift(*fields):
    """A compact struct of (id, type, bytes)."""
    out, last = b"", 0
    for number, kind, data in fields:
        out, last = out + bytes([number - last << 4 | kind]) + data, number
    return out + b"\0"


def i(number, n, kind=5):
    return number, kind, varint(n << 1)


def listed(number, items, count=None):
    count = len(items) if count is None else count
    head = bytes([count << 4 | 12]) if count < 15 else b"\xfc" + varint(count)
    return number, 9, head + b"".join(items)


def parquet(rows, page_size=100, values=10, columns=None, groups=None):
    """A file of one column whose footer and page header say what they like."""
    page = thrift(i(1, 0), i(2, page_size), i(3, 10), (5, 12, thrift(i(1, values), i(2, 0), i(3, 3), i(4, 3)))) + b"\0" * 10
    root = thrift((4, 8, varint(1) + b"r"), i(5, 1 if columns is None else columns))
    column = thrift(i(1, 5), i(3, 0), (4, 8, varint(1) + b"x"))
    size = len(page)
    meta = thrift(i(1, 5), (2, 9, bytes([1 << 4 | 5]) + varint(0)), (3, 9, bytes([1 << 4 | 8]) + varint(1) + b"x"), i(4, 0),
                  i(5, values, 6), i(6, page_size, 6), i(7, size, 6), i(9, 4, 6))
    group = thrift(listed(1, [thrift(i(2, 4, 6), (3, 12, meta))]), i(2, size, 6), i(3, rows, 6))
    footer = thrift(i(1, 1), listed(2, [root, column]), i(3, rows, 6), listed(4, [group], groups))
    return b"PAR1" + page + footer + struct.pack("<I", len(footer)) + b"PAR1"


def bombs():
    """Files that unpack to much more than they are."""
    for megabytes in (300, 800, 3000):
        out = io.BytesIO()
        with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9) as file:
            for _ in range(megabytes):
                file.write(b"0,1\n" * (1 << 18))
        yield f"bomb{megabytes}.csv.gz", out.getvalue()
    whole = npy((500 << 20,), "|u1", b"\0" * (500 << 20))
    bomb = npz(x=whole)
    yield "bomb.npz", bomb
    yield "lying.npz", bomb.replace(struct.pack("<I", len(whole)), struct.pack("<I", 0xFFFFFFF0))
    yield "nested.npz", npz(x=bomb, y=bomb)
    yield "lie.csv.gz", gzip.compress(b"1,2\n" * 100)[:-4] + struct.pack("<I", 0xFFFFFFFF)
    yield "idx3-ubyte.gz", gzip.compress(idx([2**31, 28, 28], data=b"\0" * (64 << 20)))


def lies():
    """Files whose headers count what is not there."""
    for n, count in enumerate(HUGE):
        yield f"n{n}.npy", npy(f"({count}, 2)")
        yield f"m{n}.npy", npy(f"({count}, {count})", version=2)
        yield f"z{n}.npz", npz(x=npy(f"({count}, 2)"))
        yield f"p{n}.parquet", parquet(min(count, 2**62))
        yield f"q{n}.parquet", parquet(10, page_size=min(count, 2**31 - 1), values=min(count, 2**31 - 1))
        yield f"c{n}.parquet", parquet(10, columns=min(count, 2**31 - 1))
        yield f"g{n}.parquet", parquet(10, groups=min(count, 2**31 - 1))
        yield f"i{n}.idx", idx([min(count, 2**32 - 1)] * 3)
        yield f"j{n}.idx", idx([min(count, 2**32 - 1)] * 200)
    yield "deep.npy", npy("(" + "1," * 2000 + ")")
    yield "digits.npy", npy("(" + "9" * 9000 + ",)")
    yield "brackets.npy", npy("(" * 5000)
    yield "footer.parquet", b"PAR1" + struct.pack("<I", 2**31 - 1) + b"PAR1"
    yield "wide.csv", b"1," * (8 << 20)
    yield "quote.csv", b'"' + b"1" * (64 << 20)
    yield "header.csv", b"a," * (4 << 20) + b"\n1\n"
    yield "nul.csv", b"\0" * (64 << 20)
    yield "empty.csv", b""


def specs(digits):
    """Specs and counts; each with the arguments of a command."""
    spec = SPEC.format(data=digits)
    for count in HUGE:
        for method, key in [("population", "members"), ("two-point", "directions"), ("relative-activation", "directions")]:
            yield spec.replace("two-point", method), [f"method.{key}={count}"]
        if count >= 2**32:
            yield spec.replace("two-point", "rso"), [f"method.hold={count}"]
        for method in ["cma-es", "sep-cma-es", "lm-ma-es", "snes", "xnes", "pgpe", "open-ai-es", "relative-loss"]:
            key = "directions" if method == "relative-loss" else "members"
            yield spec.replace('"two-point"', f'"{method}", settings = {{ {key} = {count} }}'), []
        yield spec.replace("[4]", f"[{count}]"), []
        yield spec.replace('"mlp", hidden = [4]', f'"conv", channels = [{count}]'), []
        yield spec, [f"data.shape=[{count},{count},1]"]
        yield spec, ["data.shape=[65536,65536,65536]"]
    for widths in (["65536"] * 2, ["65536"] * 50, ["20000"] * 4):
        yield spec.replace("[4]", f"[{','.join(widths)}]"), []
    yield spec.replace("[4]", "[" * 50_000), []
    yield "a = " + "{ a = " * 30_000, []
    yield "x" * (2 << 20), []


def studies():
    for count in HUGE:
        for method in ["cma-es", "sep-cma-es", "lm-ma-es", "snes", "xnes", "pgpe", "open-ai-es", "relative-loss"]:
            key = "directions" if method == "relative-loss" else "members"
            yield ["--space", "x:0..1", "--method", method, "--set", f"{key}={count}"]
        if count > 2**53:
            yield ["--space", f"n:0..{count} int"]


class Bench:
    def __init__(self, binary, kilobytes, folder):
        self.binary, self.limit, self.folder = binary, kilobytes * 1024, folder
        self.tried, self.bad = 0, 0

    def run(self, words):
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (self.limit, self.limit))
        command = [str(self.binary), *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=self.folder, preexec_fn=limit,
                              timeout=300, stdin=subprocess.DEVNULL, env={**os.environ, "RUST_BACKTRACE": "0"})

    def refused(self, what, words):
        began = time.monotonic()
        done = self.run(words)
        self.tried += 1
        # Where the allocator speaks, it adds how to get a backtrace.
        lines = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
        told = len(lines) == 1 and len(lines[0]) < 2000 and (lines[0].startswith("error: ") or "memory allocation" in lines[0])
        if done.returncode != 2 or not told or (self.folder / "runs").exists():
            self.bad += 1
            print(f"  {what}: rc {done.returncode}, {done.stderr.strip()[:200]!r}", flush=True)
        shutil.rmtree(self.folder / "runs", ignore_errors=True)
        if time.monotonic() - began > 30:
            print(f"  {what}: {time.monotonic() - began:.0f} s")

    def trains(self):
        done = self.run(["train", ROOT / "specs/digits-two-point.toml", "--set", "train.steps=50", "--quiet", "--runs", "good"])
        if done.returncode != 0:
            sys.exit(f"digits do not train under this limit: {done.stderr}")
        shutil.rmtree(self.folder / "good")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/onward")
    parser.add_argument("--kilobytes", type=int, default=2_000_000, help="as of ulimit -v")
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        bench = Bench(args.binary.resolve(), args.kilobytes, folder)
        bench.trains()
        spec = folder / "spec.toml"
        spec.write_text(SPEC.format(data="unused.csv"))
        train = ["train", "spec.toml", "--set"]
        for source in (bombs(), lies()):
            for name, data in source:
                (folder / name).write_bytes(data)
                bench.refused(name, [*train, f"data.path={name}"])
                (folder / name).unlink()
        bench.refused("/dev/zero", [*train, "data.path=/dev/zero", "--set", 'data.format="csv"'])
        with open(folder / "sparse.csv", "wb") as file:
            file.truncate(30 << 30)
        bench.refused("sparse.csv", [*train, "data.path=sparse.csv"])
        os.mkfifo(folder / "line.csv")
        threading.Thread(target=feed, args=(folder / "line.csv",), daemon=True).start()
        bench.refused("1 GB line through a pipe", [*train, "data.path=line.csv"])
        for number, (text, sets) in enumerate(specs(ROOT / "data/digits.csv")):
            spec.write_text(text)
            words = [word for key in sets for word in ("--set", key)]
            bench.refused(f"spec {number} {sets}", ["train", "spec.toml", *words])
        for words in studies():
            command = ["minimize", "--goal", "min", "--budget", "60", "--out", "runs", *words, "--", "echo", "1"]
            bench.refused(" ".join(words), command)
        bench.trains()
    print(f"{bench.tried} hostile inputs, {bench.bad} not refused in a sentence, {time.monotonic() - began:.0f} s")
    sys.exit(bench.bad > 0)


def feed(pipe):
    try:
        with open(pipe, "wb") as file:
            for _ in range(1000):
                file.write(b"1" * 1_000_000)
    except BrokenPipeError:
        pass


main()
