#!/usr/bin/env python3
"""Streams measured: a Parquet file of about 5 GB trains a net within 512 MB of memory (enforced by a control group where
one can be made), beside the same net on rows in memory; rows read in a second; a kill and what the run leads to. Needs
pyarrow and numpy.

    python3 bench/stream.py make FOLDER [GB]          writes big.parquet, small.parquet, wide.parquet and wide.csv
    python3 bench/stream.py speed ONWARD FOLDER       steps per second, stream and memory in turn
    python3 bench/stream.py rows ONWARD FOLDER        rows of 16 columns read per second
    python3 bench/stream.py kill ONWARD FOLDER        kill -9 and resume under the limit; the digests
"""

import json
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

COLUMNS = 100
GROUP = 3_000_000  # rows: 1.2 GB, more than twice the limit
LIMIT = 512_000_000  # bytes of memory
ADDRESSES = 640 << 20  # where no control group can be made: what the process may not exceed, its resident memory being measured
GROUPS = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
WINDOW = 32_768
BATCH = 1024

SPEC = """seed = 1
name = "{name}"
[data]
path = "{path}"
test = 2000
stream = {stream}
[model]
kind = "mlp"
hidden = [{hidden}]
[method]
name = "population"
members = {members}
rate = 1e-4
[train]
batch = {batch}
steps = {steps}
shuffle = {window}
eval_every = 1000000
"""


def write(path, rows, columns, group):
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(f"x{c}", pa.float32()) for c in range(columns)] + [("label", pa.int32())])
    random = np.random.default_rng(1)
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, group):
            count = min(group, rows - first)
            numbers = [random.standard_normal(count, dtype=np.float32) for _ in range(columns)]
            label = (sum(numbers[:5]) > 0).astype(np.int32)
            arrays = [pa.array(n) for n in numbers] + [pa.array(label)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=count)
            print(path.name, first + count, "rows", path.stat().st_size >> 20, "MiB", flush=True)


def make(folder, gigabytes):
    folder.mkdir(parents=True, exist_ok=True)
    rows = int(gigabytes * 1e9 / (4 * COLUMNS + 1))
    write(folder / "big.parquet", rows, COLUMNS, GROUP)
    write(folder / "small.parquet", 300_000, COLUMNS, 300_000)
    write(folder / "wide.parquet", 4_000_000, 16, 4_000_000)
    import pyarrow.csv
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(folder / "wide.parquet").slice(0, 1_000_000)
    pyarrow.csv.write_csv(table, folder / "wide.csv")


def control_group():
    """A control group whose processes, with all that the system keeps of files for them, may have so much memory; None without the right to."""
    for root, limit in GROUPS:
        group = pathlib.Path(root) / "onward-stream"
        try:
            group.mkdir(exist_ok=True)
            (group / limit).write_text(str(LIMIT))
            return group
        except OSError:
            continue
    return None


GROUP_OF_ALL = None if sys.argv[1:2] == ["make"] else control_group()


def limited():
    if GROUP_OF_ALL:
        (GROUP_OF_ALL / "cgroup.procs").write_text("0")
    else:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))


def spec(folder, name, path, steps, stream=True, hidden="256, 256", members=16, batch=BATCH, window=WINDOW):
    file = folder / f"{name}.toml"
    text = SPEC.format(name=name, path=folder / path, stream=str(stream).lower(), steps=steps, hidden=hidden,
                       members=members, batch=batch, window=window)
    file.write_text(text)
    return file


def train(onward, file, folder, limit=True):
    """The last line that a run says, and the seconds of its steps alone."""
    shutil.rmtree(folder / "runs" / file.stem, ignore_errors=True)
    command = [onward, "train", file, "--runs", folder / "runs", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limited if limit else None, env=ENV)
    if done.returncode != 0:
        sys.exit(done.stderr)
    last = json.loads(done.stdout.splitlines()[-1])
    if limit and last["peak_memory_bytes"] > LIMIT:
        sys.exit(f"{file.stem}: {last['peak_memory_bytes'] >> 20} MiB at its peak")
    return last


def steps_per_second(folder, name):
    """From the first row of metrics to the last: what begins a run is left out."""
    points = {}
    for line in (folder / "runs" / name / "metrics.jsonl").read_text().splitlines():
        point = json.loads(line)
        if point.get("name") == "elapsed":
            points[point["step"]] = point["value"]
    steps = sorted(points)[:-1]  # the last one is of an evaluation
    return (steps[-1] - steps[0]) / (points[steps[-1]] - points[steps[0]])


# One arena: each thread's own would reserve 64 MiB of addresses that nobody uses.
ENV = {"MALLOC_ARENA_MAX": "1", "PATH": "/usr/bin:/bin"}


def speed(onward, folder, rounds=3, steps=800):
    for turn in range(rounds):
        begin = time.monotonic()
        last = train(onward, spec(folder, "stream", "big.parquet", steps), folder)
        whole = time.monotonic() - begin
        stream = steps_per_second(folder, "stream")
        train(onward, spec(folder, "memory", "small.parquet", steps, stream=False), folder, limit=False)
        memory = steps_per_second(folder, "memory")
        print(f"round {turn}: stream {stream:.2f} steps/s, memory {memory:.2f} steps/s, ratio {stream / memory:.3f}; "
              f"peak {last['peak_memory_bytes'] / 2**20:.0f} MiB; all of the run {whole:.0f} s", flush=True)


def rows(onward, folder):
    for name, path, count in [("wide", "wide.parquet", 4_000_000), ("wide-csv", "wide.csv", 1_000_000)]:
        batch = 16384
        file = spec(folder, name, path, 2 * count // batch, hidden="", members=2, batch=batch, window=65536)
        last = train(onward, file, folder)
        print(f"{path}: {steps_per_second(folder, name) * batch / 1e6:.2f} million rows of 16 columns a second, "
              f"steps of a linear net included; peak {last['peak_memory_bytes'] / 2**20:.0f} MiB", flush=True)


def kill(onward, folder, steps=300):
    whole = train(onward, spec(folder, "whole", "big.parquet", steps), folder)
    file = spec(folder, "killed", "big.parquet", steps)
    shutil.rmtree(folder / "runs" / "killed", ignore_errors=True)
    command = [onward, "train", file, "--runs", folder / "runs", "--quiet"]
    child = subprocess.Popen(command, preexec_fn=limited, env=ENV)
    metrics = folder / "runs" / "killed" / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size > 20_000):
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    resume = [onward, "resume", folder / "runs" / "killed", "--json"]
    done = subprocess.run(resume, capture_output=True, text=True, preexec_fn=limited, env=ENV)
    if done.returncode != 0:
        sys.exit(done.stderr)
    resumed = [line for line in done.stdout.splitlines() if '"resumed"' in line]
    print(resumed[0], "\nsame digest:", json.loads(done.stdout.splitlines()[-1])["digest"] == whole["digest"])


if __name__ == "__main__":
    if sys.argv[1:2] != ["make"]:
        print(f"limit: {LIMIT} bytes, " + ("enforced by a control group" if GROUP_OF_ALL else "measured"))
    match sys.argv[1:]:
        case ["make", folder, *rest]:
            make(pathlib.Path(folder), float(rest[0]) if rest else 5.0)
        case ["speed", onward, folder]:
            speed(onward, pathlib.Path(folder))
        case ["rows", onward, folder]:
            rows(onward, pathlib.Path(folder))
        case ["kill", onward, folder]:
            kill(onward, pathlib.Path(folder))
        case _:
            sys.exit(__doc__)
    if GROUP_OF_ALL:
        GROUP_OF_ALL.rmdir()
