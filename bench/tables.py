#!/usr/bin/env python3
"""Runs the commands of docs/tables.md again and holds their outputs against the page.

    python3 bench/tables.py FOLDER [--onward target/release/onward] [--write]

FOLDER has the five tables that the page names, as the packages named there ship them. Each console block is run in a copy of it, one
command after another by a shell; what differs from the page is printed (seconds aside), and the exit code is 1. With `--write` the page gets what
was seen. Needs only Python's standard library.
"""
import argparse
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "tables.md"
SECONDS = re.compile(r"in \d+\.\d+ s")


def seen(block, folder, environment):
    """A console block as it would stand today."""
    out = []
    for line in block.splitlines():
        if line.startswith("$ "):
            done = subprocess.run(["bash", "-c", line[2:]], cwd=folder, env=environment, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            out += [line, *done.stdout.rstrip("\n").splitlines()]
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--onward", default="target/release/onward")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    page, wrong = PAGE.read_text(), 0
    with tempfile.TemporaryDirectory() as folder:
        bin = pathlib.Path(folder) / "bin"
        shutil.copytree(args.folder, pathlib.Path(folder) / "tables")
        bin.mkdir()
        (bin / "onward").symlink_to(pathlib.Path(args.onward).resolve())
        environment = {**os.environ, "PATH": f"{bin}:{os.environ['PATH']}"}
        for old in re.findall(r"^```console\n(.*?)^```$", page, flags=re.M | re.S):
            new = seen(old, pathlib.Path(folder) / "tables", environment)
            if SECONDS.sub("", new) != SECONDS.sub("", old):
                wrong += 1
                sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "page", "today", n=1))
                page = page.replace(old, new)
    if args.write:
        PAGE.write_text(page)
    print(f"{wrong} blocks differ from the page" + (", which has today's now" if args.write and wrong else ""))
    return int(wrong > 0 and not args.write)


if __name__ == "__main__":
    sys.exit(main())
