#!/usr/bin/env python3
"""Writes noise-v1.json: golden vectors of docs/noise.md, from an implementation of its own.

    python3 testdata/make_noise.py > testdata/noise-v1.json

Only Python's standard library. BLAKE3 is written for inputs of one chunk (at most 1024 bytes), Philox4x32-10 from its
paper; every f32 operation is done in f64 and rounded to f32, which for + - * / and the square root is the correctly
rounded f32 result.
"""
import json
import math
import struct

MASK = 0xFFFFFFFF
ROLES = {"init": 0, "shuffle": 1, "dense": 2, "left": 3, "right": 4, "activation": 5}

# --- BLAKE3 of one chunk -------------------------------------------------------------------------------------------
IV = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]
PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
CHUNK_START, CHUNK_END, ROOT, KEYED, CONTEXT, MATERIAL = 1, 2, 8, 16, 32, 64


def rotate(x, n):
    return (x >> n | x << (32 - n)) & MASK


def mix(s, a, b, c, d, x, y):
    s[a] = (s[a] + s[b] + x) & MASK
    s[d] = rotate(s[d] ^ s[a], 16)
    s[c] = (s[c] + s[d]) & MASK
    s[b] = rotate(s[b] ^ s[c], 12)
    s[a] = (s[a] + s[b] + y) & MASK
    s[d] = rotate(s[d] ^ s[a], 8)
    s[c] = (s[c] + s[d]) & MASK
    s[b] = rotate(s[b] ^ s[c], 7)


def compress(chain, block, length, flags):
    words = list(struct.unpack("<16I", block.ljust(64, b"\0")))
    s = chain + IV[:4] + [0, 0, length, flags]
    for round_ in range(7):
        for i in range(4):
            mix(s, i, 4 + i, 8 + i, 12 + i, words[2 * i], words[2 * i + 1])
        for i in range(4):
            mix(s, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, words[8 + 2 * i], words[9 + 2 * i])
        words = [words[i] for i in PERMUTATION]
    return [s[i] ^ s[i + 8] for i in range(8)]


def blake3(data, key, mode):
    assert len(data) <= 1024
    blocks = [data[i : i + 64] for i in range(0, len(data), 64)] or [b""]
    chain = key
    for i, block in enumerate(blocks):
        flags = mode | (CHUNK_START if i == 0 else 0)
        if i == len(blocks) - 1:
            flags |= CHUNK_END | ROOT
        chain = compress(chain, block, len(block), flags)
    return chain


def run_key(seed):
    context = blake3(b"onward 2026 noise v1 run key", IV, CONTEXT)
    return blake3(struct.pack("<Q", seed), context, MATERIAL)


def tensor_key(seed, role, name):
    return blake3(bytes([ROLES[role]]) + name.encode(), run_key(seed), KEYED)[:2]


# --- Philox4x32-10 -------------------------------------------------------------------------------------------------
def philox(counter, key):
    c, k = list(counter), list(key)
    for round_ in range(10):
        if round_:
            k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & MASK, p0 >> 32 ^ c[3] ^ k[1], p0 & MASK]
    return c


def block_words(key, step, member, block):
    return philox([block & MASK, block >> 32, member, step], key)


# --- families ------------------------------------------------------------------------------------------------------
def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def bits(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def from_bits(b):
    return struct.unpack("<f", struct.pack("<I", b & MASK))[0]


def polynomial(z, coefficients):
    """Horner, innermost coefficient last, every operation rounded."""
    value = f32(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        value = f32(f32(c) + f32(z * value))
    return value


def ln(x):
    b = bits(x)
    shifted = (b - 0x3F3504F3) & MASK
    e = (shifted - (1 << 32) if shifted >> 31 else shifted) >> 23
    m = from_bits(b - (e << 23))
    s = f32(f32(m - 1) / f32(m + 1))
    z = f32(s * s)
    series = f32(z * polynomial(z, [1 / 3, 1 / 5, 1 / 7, 1 / 9]))
    high = f32(s + s)
    return f32(f32(e * f32(math.log(2))) + f32(high + f32(high * series)))


def sin_cos_turn(turn):
    quarter = ((turn + (1 << 29)) & MASK) >> 30
    rest = (turn - (quarter << 30)) & MASK
    rest = rest - (1 << 32) if rest >> 31 else rest
    x = f32(f32(rest) * f32(f32(math.pi / 2) / 2**30))
    z = f32(x * x)
    tail = polynomial(z, [-1 / 6, 1 / 120, -1 / 5040, 1 / 362880])
    sin = f32(x + f32(f32(x * z) * tail))
    cos = f32(1 + f32(z * polynomial(z, [-0.5, 1 / 24, -1 / 720, 1 / 40320])))
    a, b = (cos, sin) if quarter & 1 else (sin, cos)
    return (-a if quarter & 2 else a), (-b if (quarter + 1) & 2 else b)


def normal_pair(w0, w1):
    u = f32(f32(f32(w0) + 1) * 2**-32)
    square = f32(-2 * ln(u))
    radius = f32(math.sqrt(square)) if square > 0 else 0.0
    sin, cos = sin_cos_turn(w1)
    return f32(radius * sin), f32(radius * cos)


def element(family, key, step, member, e):
    if family == "sign":
        w = block_words(key, step, member, e // 128)[e // 32 % 4]
        return -1 if w >> (e % 32) & 1 else 1
    if family == "binomial":
        w = block_words(key, step, member, e // 8)[e // 2 % 4]
        return bin(w >> 16 if e % 2 else w & 0xFFFF).count("1") - 8
    words = block_words(key, step, member, e // 4)
    half = e % 4 // 2
    return bits(normal_pair(words[2 * half], words[2 * half + 1])[e % 2])


# --- the file ------------------------------------------------------------------------------------------------------
NAMES = ["fc1.weight", "fc1.bias", "fc2.weight", "", "größe", "stage 0", "x" * 130]
EXTREMES = [0, 1, 2, 127, 128, 129, 1 << 23, 1 << 24, (1 << 24) + 1, (1 << 29) - 1, 1 << 29, 1 << 30, 3 << 29, 1 << 31, 3 << 30,
            7 << 29, 0xB504F333, 0xB504F334, 0xFFFFFF7F, 0xFFFFFF80, 0xFFFFFFFE, 0xFFFFFFFF]


def keys():
    for seed in [0, 1, 2, 0xFFFFFFFFFFFFFFFF]:
        for role in ROLES:
            for name in NAMES[: 7 if seed == 1 else 2]:
                yield {"seed": str(seed), "role": role, "name": name, "key": tensor_key(seed, role, name)}


def words():
    for key in ([0, 0], tensor_key(1, "dense", "fc1.weight")):
        for step, member, block in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (7, 3, 5), (MASK, MASK, (1 << 64) - 1), (2, 1, 1 << 32)]:
            yield {"key": key, "step": step, "member": member, "block": str(block), "words": block_words(key, step, member, block)}


def elements():
    places = [(1, "dense", "fc1.weight", 0, 0, 0), (1, "left", "fc1.weight", 3, 17, 0), (2, "activation", "stage 0", 40000, 9, 12345)]
    for seed, role, name, step, member, first in places:
        for family in ["sign", "binomial", "normal"]:
            key = tensor_key(seed, role, name)
            values = [element(family, key, step, member, first + i) for i in range(300)]
            yield {"seed": str(seed), "role": role, "name": name, "step": step, "member": member, "first": first,
                   "family": family, "values": values}


def main():
    pairs = [(a, b) for a in EXTREMES for b in EXTREMES]
    golden = {
        "format": "onward noise v1; values of family normal are the bits of f32",
        "tensor_keys": list(keys()),
        "words": list(words()),
        "elements": list(elements()),
        "normal_pairs": [[a, b, *(bits(v) for v in normal_pair(a, b))] for a, b in pairs],
    }
    lines = []
    for name, value in golden.items():
        if isinstance(value, str):
            lines.append(f"{json.dumps(name)}: {json.dumps(value)}")
        else:
            rows = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in value)
            lines.append(f"{json.dumps(name)}: [\n{rows}\n]")
    print("{" + ",\n".join(lines) + "}")


if __name__ == "__main__":
    main()
