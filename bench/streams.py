"""Data for learning online: `python bench/streams.py copy 20 data/copy-20.csv.gz` writes random bits x (-1 or 1), each to be answered (y) by the one so
many rows before (60 000 of them, or as many as a fourth argument says); `python bench/streams.py text input.txt text.u16` writes a text's characters as tokens of two bytes, in the order of their code points,
and prints how many there are.
"""
import gzip, random, struct, sys

kind, what, path, *more = sys.argv[1:]
if kind == "copy":
    delay, rows = int(what), int(more[0]) if more else 60_000
    bits = [int(bit) for bit in reversed(f"{random.Random(delay).getrandbits(rows):0{rows}b}")]
    with open(path, "wb") as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=9) as out:
        lines = (f"{2 * b - 1},{bits[i - delay] if i >= delay else 1}\n" for i, b in enumerate(bits))
        out.write(("x,y\n" + "".join(lines)).encode())
else:
    text = open(what).read()
    tokens = {c: i for i, c in enumerate(sorted(set(text)))}
    open(path, "wb").write(b"".join(struct.pack("<H", tokens[c]) for c in text))
    print(len(tokens))
