#!/usr/bin/env python3
"""A zoo of odd data files as people have them: each is read rightly or refused with its reason, never something else.

    python3 bench/field.py [--onward target/release/onward] [--only WORD] [--list]

Each case makes its files in a temporary folder, trains on them with a small spec (or trains on sound rows and then asks
`predict` or `eval` about the odd file), and holds what happened against an expectation that was written down before the
readers were touched: `read(...)` with facts (rows, features, outputs, accuracy, words that were said), or `refused(words)`
with exit code 2, one line on standard error that has the words in it, and no run left. Cases named F and R are those of the
list of faults that they came from. Needs a build with `--features parquet,brotli,zstd` and only Python's standard library; cases that numpy, pandas or pyarrow have to write
are skipped where these are not installed, and counted. The exit code is 1 if a case is not as expected.
"""
import argparse
import gzip
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from field_files import (numbers, text, with_field, labelled, with_index, regression, far_feature, raw_features, npy,
                         npy_header, flat, table_npy, by_columns, nan_at, npz, xs, ys, idx, mnist, Missing, library,
                         by_pandas, by_arrow, wrong_checksum, column, date_column, decimal_column, null_column,
                         nan_column, numpy_saved)

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPEC = """seed = 1
[data]
path = "{path}"
[model]
kind = "mlp"
hidden = [8]
[objective]
loss = "{loss}"
[method]
name = "relative-activation"
[train]
epochs = 20
batch = 16
"""

# What is expected.


def read(**facts):
    """The file is read: rows (train + test), features, outputs, names, accuracy (at least), loss (below), said (words)."""
    return ("read", facts)


def refused(*words):
    """The command ends with 2 and one line that has all of these words in it (in any case of letters)."""
    return ("refused", words)


# The cases: name; the file or files; what is expected; keys to set; a second file to ask about.

CASES = []


def case(name, data, expected, sets=(), file="d.csv", loss="cross-entropy", more=None, ask=None, path=None):
    """`data` is a text, bytes, a function that makes them, or several by name. `ask` is a command about the file `more`."""
    files = data if isinstance(data, dict) else {file: data}
    CASES.append(dict(name=name, files=files, expected=expected, sets=sets, loss=loss, more=more, ask=ask, path=path or file))


VALUE = dict(sets=["data.target=value"], loss="squared-error")
PLAIN = read(rows=60, features=4, outputs=2)
NAMED = "a,b,c,d,label"
NAMES = read(rows=60, features=4, outputs=2, names=["a", "b", "c", "d"])

# CSV: lines, quotes, encodings.
case("plain rows", text(numbers()), PLAIN)
case("a header", text(numbers(), NAMED), read(rows=60, features=4, names=["a", "b", "c", "d"]))
case("lines end as on Windows", text(numbers(), end="\r\n"), PLAIN)
case("lines end as on old Macs", text(numbers(), end="\r"), PLAIN)
case("the last line does not end", text(numbers()).rstrip("\n"), PLAIN)
case("blank lines between rows", text(numbers()).replace("\n", "\n\n"), PLAIN)
case("blank lines at the end", text(numbers()) + "\n\n\r\n", PLAIN)
case("a byte order mark", b"\xef\xbb\xbf" + text(numbers(), NAMED).encode(), read(rows=60, names=["a", "b", "c", "d"]))
case("a byte order mark and no header", b"\xef\xbb\xbf" + text(numbers()).encode(), PLAIN)
case("blanks around numbers", text(numbers(), sep=" , "), PLAIN)
case("every number in quotes", text([[f'"{v}"' for v in row] for row in numbers()]), PLAIN)
case("a header in quotes with a comma inside", text(numbers(), '"a, cm",b,c,d,label'), read(rows=60, names=["a, cm", "b", "c", "d"]))
case("a header in Latin-1", "größe,b,c,d,label\n".encode("latin-1") + text(numbers()).encode(), read(rows=60, features=4))
case("signs and exponents", with_field(5, 1, "+1.5e-1"), PLAIN)
case("a quote that never closes", with_field(30, 0, '"3'), refused("line 31"))
case("UTF-16", text(numbers(), NAMED).encode("utf-16"), NAMES)
case("UTF-16 without a mark", text(numbers(), NAMED).encode("utf-16-le"), NAMES)
case("UTF-16 with the high bytes first", b"\xfe\xff" + text(numbers(), NAMED).encode("utf-16-be"), NAMES)
case("UTF-16 cut inside a letter", text(numbers(), NAMED).encode("utf-16")[:-1], refused("UTF-16", "odd number"))
case("Latin-1, said", "größe,b,c,d,label\n".encode("latin-1") + text(numbers()).encode(), read(names=["größe", "b", "c", "d"]), sets=["data.encoding=latin-1"])
case("Latin-1, said to be UTF-8", "größe,b,c,d,label\n".encode("latin-1") + text(numbers()).encode(), refused("data.encoding"), sets=["data.encoding=utf-8"])
case("an empty file", "", refused("an empty file"))
case("nothing but blank lines", "\n\n\n", refused("an empty file"))
case("nothing but a header", NAMED + "\n", refused("only a header"))
case("a row that is too short", text([row[: 4 if i == 30 else 5] for i, row in enumerate(numbers())]), refused("5 fields in every row", "line 31"))
case("a row that is too long", with_field(30, 0, "1,1"), refused("5 fields in every row", "line 31"))
case("a comment in front", "# made by hand\n" + text(numbers()), refused("line 2", "1 field in every row"))
case("a comment among the rows", with_field(30, 0, "# 1"), refused("line 31", "column 1"))
case("a comma at the end of every line", text(numbers(), end=",\n"), refused("line 1", "column 6", "missing"))
case("a title above the header", "Measurements\n" + text(numbers(), NAMED), refused("line 2", "1 field in every row"))

# CSV: a first row of words above figures that are no plain numbers; these are refused, or left out.
KINDS = ["yes no".split()[row[4]] for row in numbers()]
for words, figure in {"prices": "${}.50", "shares": "{}.5%", "thousands": '"{},000.5"'}.items():
    figures = [figure.format(1 + i % 9) for i in range(60)]
    case(f"{words} below a word", text(list(zip(figures, KINDS)), "x,kind"), refused("line 2, column 1", "plain numbers"))
    case(f"{words} below a word, left out", text(list(zip(figures, range(60), KINDS)), "x,b,kind"), read(rows=60, features=1, names=["b"], classes=["no", "yes"]), sets=["data.ignore=x"])
case("thousands by points, decimals by commas", text([[f"{1 + i % 9}.000,5", i, kind] for i, kind in enumerate(KINDS)], "x;b;kind", sep=";"), read(rows=60, features=1, names=["b"]), sets=["data.ignore=x"])

# CSV: separators other than commas.
for word, sep in {"semicolons": ";", "tabs": "\t", "blanks": " ", "bars": "|"}.items():
    case(f"{word} between numbers", text(numbers(), sep=sep), PLAIN)
    case(f"{word} and a header", text(numbers(), NAMED.replace(",", sep), sep=sep), NAMES)
    case(f"{word}, said", text(numbers(), sep=sep), PLAIN, sets=["data.separator=" + {"\t": "tab", " ": "blanks"}.get(sep, sep)])
case("runs of blanks, and some at both ends of lines", text(numbers(), sep="   ").replace("\n", " \n  "), PLAIN)
case("blanks behind commas", text(numbers(), sep=", "), PLAIN)
case("decimal commas", text([[f"{v},5" for v in row[:4]] + row[4:] for row in numbers()], sep=";"), PLAIN)
case("decimal commas, and points as well", text([["1,5", "2.5"] + row[2:] for row in numbers()], sep=";"), refused("data.decimal"))
case("a comma that may part thousands", text([[f"1,{200 + v}" for v in row[:4]] + row[4:] for row in numbers()], sep=";"), refused("data.decimal"))
case("the same, said to part decimals", text([[f"1,{200 + v}" for v in row[:4]] + row[4:] for row in numbers()], sep=";"), PLAIN, sets=["data.decimal=','"])
case("two separators that both make sense", text([["x;y", f"z{i % 3};w"] for i in range(60)]), refused("data.separator"))
for ending in ["tsv", "txt", "data", "dat", "tab"]:
    case(f"a file ending in .{ending}", text(numbers()), PLAIN, file=f"d.{ending}")
    case(f"a file ending in .{ending}.gz", gzip.compress(text(numbers(), sep="\t").encode()), PLAIN, file=f"d.{ending}.gz")
for ending in ["xlsx", "json", "csv.bz2"]:
    case(f"a file ending in .{ending}", text(numbers()), refused("a file ending in .csv"), file=f"d.{ending}")
case("text under Zstandard's name", text(numbers()), refused("d.csv.zst"), file="d.csv.zst")
case("text under Parquet's other name", text(numbers()), refused("Parquet"), file="d.pq")
case("no ending at all", text(numbers()), refused("a file ending in .csv"), file="data")
case("no ending, the format said", text(numbers()), PLAIN, sets=["data.format=csv"], file="data")

# CSV: what is no number.
for word in ["?", "NA", "N/A", "NaN", "nan", "null", "None", "-", ""]:
    case(f"F5 {word or 'nothing'!r} in the first row", with_field(0, 4, word), refused("line 1, column 5", "missing"))
    case(f"F5 {word or 'nothing'!r} in a later row", with_field(30, 2, word), refused("line 31, column 3", "missing"))
case("F5 a missing value below a header", text([[1, 2, 0], [1, "NA", 1], [2, 2, 1]], "a,b,label"), refused('line 3, column 2 ("b")', "missing"))
case("F5 nothing but missing values", text([["?", "?"]] * 9), refused("line 1", "missing"))
case("R13 a hexadecimal number in the first row", with_field(0, 0, "0x10"), refused("line 1, column 1", "0x10"))
case("R13 a NUL in the first row", with_field(0, 1, "3\0"), refused("line 1, column 2"))
case("R13 a letter O for a zero in the first row", with_field(0, 0, "1O"), refused("line 1, column 1", "1O"))
case("R13 a word in the first row", with_field(0, 0, "pear"), refused("line 1, column 1", "pear", "data.header"))
case("a hexadecimal number in a later row", with_field(30, 0, "0x10"), refused("line 31, column 1", "0x10"))
case("thousands in quotes", with_field(0, 0, '"1,000"'), refused("line 1, column 1", "1,000"))
case("thousands with underscores", with_field(9, 0, "1_000"), refused("line 10, column 1"))
case("1e400", with_field(30, 0, "1e400"), refused("line 31, column 1", "finite"))
case("an infinity", with_field(30, 0, "inf"), refused("line 31, column 1", "finite"))
case("1e50 among small numbers", with_field(30, 0, "1e50"), PLAIN)
case("1e50, not centred", with_field(30, 0, "1e50"), refused("row 30", "column 0", "finite"), sets=["data.center=none"])
case("a whole number of 60 bits", with_field(30, 0, str(2**60)), PLAIN)
case("words for classes", text([row[:4] + [["setosa", "virginica"][row[4]]] for row in numbers()]), read(rows=60, features=4, outputs=2, classes=["setosa", "virginica"], accuracy=0.7))
case("words for classes below a header", text([row[:4] + [["yes", "no"][row[4]]] for row in numbers()], NAMED), read(rows=60, features=4, outputs=2, classes=["no", "yes"]))
case("True and False for classes", text([row[:4] + [bool(row[4])] for row in numbers()]), read(rows=60, features=4, outputs=2, classes=["False", "True"]))
case("a number among words for classes", text([row[:4] + [["yes", "no", "1"][i % 3]] for i, row in enumerate(numbers())], NAMED), refused("line 2, column 5", "data.categorical"))
case("the same, said to be categories", text([row[:4] + [["yes", "no", "1"][i % 3]] for i, row in enumerate(numbers())], NAMED), read(outputs=3, classes=["1", "no", "yes"]), sets=["data.categorical=label"])
case("words alone, with a header", text([["hot cold".split()[i % 2], "wet dry".split()[i // 2 % 2], "yes no".split()[i % 2]] for i in range(60)], "sky,air,play"), read(rows=60, features=4, outputs=2, accuracy=0.9))
case("words alone, without", text([["hot cold".split()[i % 2], "wet dry".split()[i // 2 % 2], "yes no".split()[i % 2]] for i in range(60)]), read(rows=60, features=4, outputs=2))
case("words alone that are all different", text([[f"a{i}", f"b{i}"] for i in range(60)]), refused("data.header"))
case("dates", text([[f"2020-01-{1 + i % 28:02}"] + row for i, row in enumerate(numbers())]), refused("line 1, column 1", "2020-01-01"))
case("dates below a header", text([[f"2020-01-{1 + i % 28:02}"] + row for i, row in enumerate(numbers())], "day," + NAMED), refused("line 2, column 1"))
case("percent signs", with_field(3, 1, "5%"), refused("line 4, column 2"))
case("digits of another script", with_field(3, 1, "٣"), refused("line 4, column 2"))
case("a categorical column", text([["red green blue".split()[i % 3]] + row for i, row in enumerate(numbers())], "colour," + NAMED), read(rows=60, features=7, names=["colour=blue", "colour=green", "colour=red", "a", "b", "c", "d"]))
case("a categorical column, ordinal", text([["red green blue".split()[i % 3]] + row for i, row in enumerate(numbers())], "colour," + NAMED), read(features=5, names=["colour", "a", "b", "c", "d"]), sets=["data.categories=ordinal"])
case("numbers said to be categories", text(numbers(), NAMED), read(rows=60, outputs=2, first="a=0"), sets=["data.categorical=a"])
case("True and False among features", text([[bool(row[0] % 2)] + row[1:] for row in numbers()], NAMED), read(features=4, names=["a", "b", "c", "d"]))
case("texts that differ from row to row", text([[f"person {i}"] + row for i, row in enumerate(numbers())], "who," + NAMED), refused("line 2, column 1", "different texts", "data.ignore"))
case("the same, left out", text([[f"person {i}"] + row for i, row in enumerate(numbers())], "who," + NAMED), NAMES, sets=["data.ignore=who"])
case("the same, carried along", text([[f"person {i}"] + row for i, row in enumerate(numbers())], "who," + NAMED), NAMES, sets=["data.id=who"])
case("dates left out", text([[f"2020-01-{1 + i % 28:02}"] + row for i, row in enumerate(numbers())], "day," + NAMED), NAMES, sets=["data.ignore=day"])
case("missing values, their mean", with_field(30, 2, "NA"), read(rows=60, features=5, outputs=2), sets=["data.missing=mean"])
case("missing values, their median", with_field(30, 2, "NA"), read(rows=60, features=5, outputs=2), sets=["data.missing=median"])
case("missing values, their rows left out", with_field(30, 2, "NA"), read(rows=59, features=4, outputs=2), sets=["data.missing=drop"])
case("missing labels, their rows left out", with_field(30, 4, ""), read(rows=59, features=4, outputs=2), sets=["data.missing=drop"])
case("missing labels, the mean of features", with_field(30, 4, ""), read(rows=59, features=4, outputs=2), sets=["data.missing=mean"])
case("a missing category", text([["red" if i % 9 else ""] + row for i, row in enumerate(numbers())], "colour," + NAMED), read(features=6), sets=["data.missing=mean"])
case("words of one's own for missing values", with_field(30, 2, "gone"), read(rows=60, features=5), sets=["data.missing=mean", "data.missing_words=['gone']"])
case("nothing but missing values in a column", text([row[:3] + [""] + row[4:] for row in numbers()], NAMED), refused("missing values alone"), sets=["data.missing=mean"])

# CSV: headers and columns.
case("F3 a whole number is a position", text([[0] + row[:3] + [row[4]] for row in numbers()], "label,0,1,2,3").replace("\n0,", "\n1,", 20), read(outputs=2, names=["0", "1", "2", "3"]), sets=["data.label=0"])
case("F3 a word is a name", text([row[:3] + [row[4], row[3]] for row in numbers()], "x,1,2,0,3"), read(outputs=2, names=["x", "1", "2", "3"]), sets=["data.label='0'", "data.header=true"])
case("F3 a name that is not there", text(numbers(), NAMED), refused("label column", '"4"'), sets=["data.label='4'"])
case("F3 a position that is not there", text(numbers(), NAMED), refused("label column", "5 columns"), sets=["data.label=5"])
case("F4 0…n−1 in the first row", text(numbers(), "0,1,2,3,4"), read(rows=60, names=["0", "1", "2", "3"], said="header"))
case("F4 1…n in the first row", text(numbers(), "1,2,3,4,5"), read(rows=60, names=["1", "2", "3", "4"], said="header"))
case("F4 an unnamed index before 0…n−1", with_index(lambda i: i, ",0,1,2,3,4"), read(rows=60, features=4, names=["0", "1", "2", "3"], said="left out"))
case("F4 data.header = false", text(numbers(), "0,1,2,3,4"), read(rows=61, features=4, outputs=5), sets=["data.header=false"])
case("F4 data.header = true", text(numbers(), "7,7,3,9,0"), read(rows=60, names=["7", "7", "3", "9"]), sets=["data.header=true"])
case("F4 three columns could be either", labelled([0, 1]).replace("0,0,0\n", "0,1,2\n", 1), refused("data.header"))
case("F4 two columns could be either", "1,2\n" + "".join(f"{i},{2 * i}\n" for i in range(2, 30)), refused("data.header"), **VALUE)
case("years for names", text(numbers(), "x,2018,2019,2020,label"), refused("line 1", "data.header"))
case("years for names, said to be a header", text(numbers(), "x,2018,2019,2020,label"), read(rows=60, features=4), sets=["data.header=true"])
case("the label column in front", text([[row[4]] + row[:4] for row in numbers()], "label,a,b,c,d"), read(outputs=2, names=["a", "b", "c", "d"]))
case("two columns of one name", text(numbers(), "a,a,b,c,label"), read(names=["a", "a", "b", "c"]))
case("two label columns", text(numbers(), "label,a,b,c,label"), refused("two columns of that name"))
case("one column", "1\n0\n1\n", refused("at least one besides the label"))
case("F6 an unnamed first column that counts", with_index(lambda i: i, "," + NAMED), read(rows=60, features=4, names=["a", "b", "c", "d"], said="left out"))
case("F6 pandas' name for such a column", with_index(lambda i: i, "Unnamed: 0," + NAMED), read(features=4, said="left out"))
case("F6 R's row names", with_index(lambda i: f'"{i + 1}"', '"",' + NAMED), read(features=4, said="left out"))
case("F6 shuffled", with_index(lambda i: i * 7 % 60, "," + NAMED), read(features=4, said="left out"))
case("F6 written twice", with_index(lambda i: f"{i},{i}", "Unnamed: 0.1,Unnamed: 0," + NAMED), read(features=4, said="left out"))
case("F6 an unnamed column that does not count", with_index(lambda i: i % 7 / 2, "," + NAMED), read(features=5))
case("F6 a position counts all columns of the file", with_index(lambda i: i, "," + NAMED), read(features=4, names=["a", "b", "c", "d"]), sets=["data.label=5"])
case("a constant feature", text([[3] + row for row in numbers()], "k," + NAMED), read(features=5))
case("nothing but constant features", text([[3, 4, i % 2] for i in range(60)]), read(features=2, outputs=2))
case("a feature of one huge value", with_field(30, 0, "1e300"), PLAIN)

# Rows and labels.
case("one row", "1,2,0\n", refused("held out", "1 row"))
case("F22 two rows", "1,2,0\n3,4,1\n", refused("one training row"))
case("three rows", "1,2,0\n3,4,1\n5,6,1\n", read(rows=3))
case("F7 one class", labelled([1]), refused("column 2", "one value"))
case("F7 one class below a header", "a,b,kind\n" + labelled([0]), refused('"kind"', "one value"), sets=["data.label=kind"])
case("F7 one target", regression(constant="5"), refused('"y"', "one value"), **VALUE)
case("labels below zero", labelled([-1, 1]), read(outputs=2, classes=["-1", "1"]))
case("labels that are not whole", labelled([0, 0.5]), refused("label of row 1", "0.5"))
case("labels with a decimal point", labelled(["0.0", "1.0", "2.0"]), read(outputs=3))
case("labels from 1", labelled([1, 2, 3]), read(outputs=3, classes=["1", "2", "3"]))
case("labels far apart", labelled([0, 1000, 2000]), read(outputs=3, classes=["0", "1000", "2000"]))
case("labels from 0 with one that is not there", labelled([0, 1, 3]), read(outputs=4, classes=[]))
case("labels beyond 65535", labelled([0, 65536]), read(outputs=2))
case("labels beyond 32 bits", labelled([0, 4294967297]), read(outputs=2))
case("labels of numbers as for a regression", regression(), refused("label of row 0"))
case("more held out than there is", text(numbers()), refused("held out"), sets=["data.test=60"])

# Centring, scaling, regressions.
case("F2 a regression far from zero", regression(offset=100.0), read(loss=4.0), **VALUE)
case("F2 very far from zero", regression(offset=1e6), read(loss=4.0), **VALUE)
case("F2 very large targets", regression(scale=5e6, offset=1e8), read(loss=4e12), **VALUE)
case("F2 very small targets", regression(scale=5e-6, offset=0.0, digits=12), read(loss=4e-12), **VALUE)
case("F2 raw features", raw_features(), read(accuracy=0.9, outputs=3))
case("F10 a feature far from zero", far_feature(), read(accuracy=0.9))
case("features of 1e-30", text([[row[0] * 1e-30, row[1], row[4]] for row in numbers()]), read(accuracy=0.8))
case("features of 1e30", text([[row[0] * 1e30, row[1], row[4]] for row in numbers()]), read(accuracy=0.8))
case("targets beyond single precision", text([[i, i * 1e100] for i in range(60)], "a,y"), read(features=1), **VALUE)
case("targets whose squares nothing holds", text([[i, i * 1e300] for i in range(60)], "a,y"), refused("targets", "standard deviation"), **VALUE)

# Packed files.
case("gzip", gzip.compress(text(numbers()).encode()), PLAIN, file="d.csv.gz")
case("F9 two gzip members", gzip.compress(text(numbers()[:30]).encode()) + gzip.compress(text(numbers()[30:]).encode()), PLAIN, file="d.csv.gz")
case("F9 a member cut inside a line", gzip.compress(text(numbers()).encode()[:101]) + gzip.compress(text(numbers()).encode()[101:]), PLAIN, file="d.csv.gz")
case("F9 an empty member at the end, as bgzip writes it", gzip.compress(text(numbers()).encode()) + gzip.compress(b""), PLAIN, file="d.csv.gz")
case("gzip cut short", gzip.compress(text(numbers()).encode())[:-9], refused("gzip"), file="d.csv.gz")
case("the second member cut short", gzip.compress(text(numbers()).encode()) + gzip.compress(text(numbers()).encode())[:-9], refused("gzip"), file="d.csv.gz")
case("bytes behind a gzip member", gzip.compress(text(numbers()).encode()) + b"more", refused("gzip"), file="d.csv.gz")
case("a flipped bit in gzip", gzip.compress(text(numbers()).encode())[:-6] + b"\1\1" + gzip.compress(text(numbers()).encode())[-4:], refused("gzip"), file="d.csv.gz")
case("gzip under a plain name", gzip.compress(text(numbers()).encode()), refused("gzip"))
case("plain text under gzip's name", text(numbers()), refused("gzip"), file="d.csv.gz")
case("much in little", gzip.compress(b"0" * (1 << 26)), refused("at least one besides the label"), file="d.csv.gz")

# Paths.
case("no such file", {}, refused("cannot read", "none.csv"), path="none.csv")
case("a folder", {"m/readme.txt": "x"}, refused("t10k-images-idx3-ubyte"), path="m")
case("a folder named like a file", {"d.csv/readme.txt": "x"}, refused("d.csv"), path="d.csv")
case("F12 ~ in a path", text(numbers()), PLAIN, path="~/d.csv")
case("F12 ~ in --set", text(numbers()), PLAIN, sets=["data.path=~/d.csv"], path="other.csv")

# Test files and files for predict and eval.
case("a test file", {"d.csv": text(numbers()), "t.csv": text(numbers(20))}, read(rows=80), sets=["data.test_path=t.csv"])
case("a test file with columns in another order", {"d.csv": text(numbers(), NAMED), "t.csv": text(numbers(20), "b,a,c,d,label")}, read(rows=80), sets=["data.test_path=t.csv"])
case("a test file with too few columns", {"d.csv": text(numbers()), "t.csv": text(numbers(20, 2))}, refused("t.csv", "4 features"), sets=["data.test_path=t.csv"])
case("a test file with a class more", {"d.csv": text(numbers()), "t.csv": text(numbers(20)) + "1,1,1,1,4\n"}, read(outputs=5), sets=["data.test_path=t.csv"])
case("a test file without labels", {"d.csv": text(numbers()), "t.csv": text([row[:4] for row in numbers(20)])}, refused("t.csv", "labels"), sets=["data.test_path=t.csv"])
case("a test file of one class", {"d.csv": text(numbers()), "t.csv": "1,2,3,4,1\n"}, read(rows=61), sets=["data.test_path=t.csv"])
case("a test file with a missing value", {"d.csv": text(numbers()), "t.csv": "1,2,3,4,1\n1,,3,4,0\n"}, refused("t.csv", "line 2, column 2", "missing"), sets=["data.test_path=t.csv"])
case("predict without labels", text(numbers(), NAMED), read(lines=20), more=text([r[:4] for r in numbers(20)], "a,b,c,d"), ask="predict")
case("predict one row", text(numbers(), NAMED), read(lines=1), more="a,b,c,d\n1,2,3,4\n", ask="predict")
case("predict one row without a header", text(numbers()), read(lines=1), more="1,2,3,4\n", ask="predict")
case("predict with an index column", with_index(lambda i: i, "," + NAMED), read(lines=20), more=text([[40 + i] + r[:4] for i, r in enumerate(numbers(20))], ",a,b,c,d"), ask="predict")
case("predict below 0,1,2,3", text(numbers(), "0,1,2,3,4"), read(lines=20), more=text([r[:4] for r in numbers(20)], "0,1,2,3"), ask="predict")
case("predict with names in another order", text(numbers(), NAMED), read(lines=1), more="b,a,c,d\n1,2,3,4\n", ask="predict")
case("predict with columns that are not used", text(numbers(), NAMED), read(lines=1), more="x,b,a,c,y,d\n9,1,2,3,9,4\n", ask="predict")
case("predict with a column too few", text(numbers(), NAMED), refused('one column named "a"', "none"), more="b,c,d\n1,2,3\n", ask="predict")
case("predict of another separator", text(numbers(), NAMED), read(lines=1), more="d;a;b;c\n1;2;3;4\n", ask="predict")
case("predict a category that is not known", text([["red green".split()[i % 2]] + row for i, row in enumerate(numbers())], "colour," + NAMED), refused('"colour"', "purple", "red"), more="colour,a,b,c,d\npurple,1,2,3,4\n", ask="predict")
case("predict with a mean for what is missing", with_field(30, 2, "NA"), read(lines=2), more="1,2,?,4\n1,?,3,4\n", ask="predict", sets=["data.missing=mean"])
case("eval by the names of classes", text([row[:4] + [["yes", "no"][row[4]]] for row in numbers()], NAMED), read(accuracy=0.6), more=text([row[:4] + [["yes", "no"][row[4]]] for row in numbers()], NAMED), ask="eval")
case("predict with a missing value", text(numbers(), NAMED), refused("line 2, column 3", "missing"), more="a,b,c,d\n1,2,?,4\n", ask="predict")
case("predict from an empty file", text(numbers(), NAMED), refused("an empty file"), more="", ask="predict")
case("eval without labels", text(numbers(), NAMED), refused("features alone"), more="a,b,c,d\n1,2,3,4\n", ask="eval")
case("eval with a class that the model has not", text(numbers(), NAMED), refused("a class below 2"), more=NAMED + "\n1,2,3,4,2\n", ask="eval")
case("F2 predict in the target's own units", regression(offset=1e6), read(between=(1e6 - 60, 1e6 + 60), lines=50), more="a,b\n" + "0.1,0.2\n" * 50, ask="predict", **VALUE)
case("F2 eval in the target's own units", regression(offset=1e6), read(loss=4.0), more=regression(60, offset=1e6), ask="eval", **VALUE)
case("F10 predict far from zero", far_feature(), read(accuracy=0.9), more=far_feature(60), ask="eval")

# npy.
for kind in ["|u1", "|i1", "<u2", "<i2", "<i4", "<i8", "<u8", "<f4", "<f8", ">f4", ">f8", ">i4"]:
    case(f"npy of {kind}", lambda kind=kind: table_npy(kind), PLAIN, file="d.npy")
case("npy of booleans", npy("|b1", [v % 2 for v in flat()], "(60, 5)"), PLAIN, file="d.npy")
case("npy with columns first", by_columns, PLAIN, file="d.npy")
case("npy of version 2", lambda: table_npy("<f4", version=2), PLAIN, file="d.npy")
case("npy of float16", lambda: table_npy("<f2"), PLAIN, file="d.npy")
case("npy of complex numbers", npy_header("'<c8'", "(2, 2)") + bytes(32), refused("<c8"), file="d.npy")
case("npy of objects", npy_header("'|O'", "(2, 2)") + b"pickle", refused("|O"), file="d.npy")
case("npy of texts", npy_header("'<U4'", "(2, 2)") + bytes(64), refused("<U4"), file="d.npy")
case("npy of records", npy_header("[('a', '<f4'), ('label', '<i4')]", "(2,)") + bytes(16), refused("type of the npy array"), file="d.npy")
case("npy of one dimension", npy("<f4", range(60), "(60,)"), refused("rows x columns"), file="d.npy")
case("npy of three dimensions", npy("<f4", range(60), "(5, 4, 3)"), refused("rows x columns"), file="d.npy")
case("npy of no dimension", npy("<f4", [1], "()"), refused("rows x columns"), file="d.npy")
case("npy without rows", npy("<f4", [], "(0, 5)"), refused("a dimension of 0"), file="d.npy")
case("npy cut short", lambda: table_npy("<f4")[:-3], refused("1200 bytes"), file="d.npy")
case("npy with bytes behind it", lambda: table_npy("<f4") + b"12", refused("1200 bytes"), file="d.npy")
case("F8 NaN in row 100", nan_at(100), refused("row 100", "column 2"), file="d.npy")
case("F8 NaN in row 3", nan_at(3), refused("row 3", "column 2"), file="d.npy")
case("F8 NaN for a label", nan_at(100, 4), refused("label of row 100"), file="d.npy")
case("F8 NaN for a target", nan_at(100, 4), refused("target of row 100"), file="d.npy", **VALUE)
case("F10 npy of whole numbers far from zero", npy("<i8", [v for i in range(200) for v in (1_700_000_000 + i * 7 % 60, int(i * 7 % 60 > 29))], "(200, 2)"), read(accuracy=0.9), file="d.npy")
case("F7 npy of one class", npy("<f4", [v for i in range(60) for v in (i, 1)], "(60, 2)"), refused("column 1", "one value"), file="d.npy")
case("numpy's own file", numpy_saved(lambda np: np.array(numbers(), dtype="f8")), PLAIN, file="d.npy")
case("numpy's own file, transposed", numpy_saved(lambda np: np.asfortranarray(np.array(numbers(), dtype="f4"))), PLAIN, file="d.npy")
case("numpy's records", numpy_saved(lambda np: np.array([(1.0, 0), (2.0, 1)], dtype=[("a", "f4"), ("label", "i4")])), refused("type of the npy array"), file="d.npy")
case("numpy's long double", numpy_saved(lambda np: np.array(numbers(), dtype=np.longdouble)), refused("32 or 64 bits"), file="d.npy")

# npz.
case("npz of x and y", lambda: npz(x=xs(), y=ys()), PLAIN, file="d.npz")
case("npz packed", lambda: npz(True, x=xs(), y=ys()), PLAIN, file="d.npz")
case("npz with a test part", lambda: npz(x_train=xs(), y_train=ys(), x_test=xs(20), y_test=ys(20)), read(rows=80), file="d.npz")
case("npz of labels in a column", lambda: npz(x=xs(), y=ys(shape="(60, 1)")), PLAIN, file="d.npz")
case("npz of images", lambda: npz(x=npy("|u1", [v % 250 for v in range(60 * 12)], "(60, 3, 2, 2)"), y=ys()), read(rows=60, features=12), file="d.npz")
case("npz of X and y", lambda: npz(X=xs(), y=ys()), PLAIN, file="d.npz")
case("npz of arr_0 and arr_1", lambda: npz(arr_0=xs(), arr_1=ys()), PLAIN, file="d.npz")
case("npz of train_images", lambda: npz(train_images=xs(), train_labels=ys(), test_images=xs(20), test_labels=ys(20)), read(rows=80, features=4), file="d.npz")
case("npz of x and X", lambda: npz(x=xs(), X=xs(), y=ys()), refused("one array that can be x"), file="d.npz")
case("npz of one-hot labels", lambda: npz(x=xs(), y=npy("|u1", [v for i in range(60) for v in (i % 2, 1 - i % 2)], "(60, 2)")), PLAIN, file="d.npz")
case("npz of labels that are neither one-hot nor one", lambda: npz(x=xs(), y=npy("|u1", [v for i in range(60) for v in (1, i % 2)], "(60, 2)")), refused("label of row 1", "one number per row"), file="d.npz")
case("npz without labels", lambda: npz(x=xs()), refused("labels", "none"), file="d.npz")
case("npz without features", lambda: npz(y=ys()), refused("x"), file="d.npz")
case("npz of x_test without x_train", lambda: npz(x_test=xs(), y_test=ys()), refused("x"), file="d.npz")
case("npz with fewer labels than rows", lambda: npz(x=xs(), y=ys(59)), refused("60 rows"), file="d.npz")
case("npz of float16", lambda: npz(x=xs(kind="<f2"), y=ys()), PLAIN, file="d.npz")
case("npz of five dimensions", lambda: npz(x=npy("|u1", range(60), "(60, 1, 1, 1, 1)"), y=ys()), refused("1 to 4 dimensions"), file="d.npz")
case("npz with NaN in its test part", lambda: npz(x_train=xs(), y_train=ys(), x_test=npy("<f4", [1.0] * 9 + [float("nan")] + [1.0] * 10, "(5, 4)"), y_test=ys(5)), refused("row 2, column 1"), file="d.npz")
case("F7 npz of one class", lambda: npz(x=xs(), y=npy("|u1", [1] * 60, "(60,)")), refused("one value", "y"), file="d.npz")
case("npz of two targets per row", lambda: npz(x=xs(), y=npy("<f8", [v for i in range(60) for v in (1e3 + i % 11, i)], "(60, 2)")), read(outputs=2), file="d.npz", **VALUE)
case("npz that is no archive", b"PK\3\4 no more", refused("zip archive"), file="d.npz")

# idx.
case("the four files of MNIST", mnist(), read(rows=80, features=6, outputs=3), path="m")
case("the four files packed", mnist(packed=True), read(rows=80, features=6, outputs=3), path="m")
case("idx of floats", mnist(kind=13), read(rows=80, features=6), path="m")
case("idx of signed bytes", mnist(kind=9), read(rows=80, features=6), path="m")
case("idx under names with a dot", {k.replace("-idx", ".idx"): v for k, v in mnist().items()}, read(rows=80, features=6, outputs=3), path="m")
case("idx under names with an ending", mnist(suffix=".ubyte"), read(rows=80, features=6, outputs=3), path="m")
case("idx with a test part of that name", {k.replace("t10k", "test"): v for k, v in mnist().items()}, read(rows=80, features=6, outputs=3), path="m")
case("idx files without labels", {k: v for k, v in mnist().items() if "train-labels" not in k}, refused("train-labels-idx1-ubyte"), path="m")
case("idx with a label too few", mnist(labels=59), refused("60 rows"), path="m")
case("idx that is something else", mnist(images=b"\x89PNG\r\n"), refused("idx header"), path="m")
case("idx cut short", mnist(images=idx([1] * 360, 60, 3, 2)[:-1]), refused("360 bytes"), path="m")
case("one idx file alone", mnist(), refused("train-images-idx3-ubyte"), path="m/train-images-idx3-ubyte")
case("idx of 50 dimensions", mnist(images=bytes([0, 0, 8, 50]) + bytes([0, 0, 0, 1] * 50) + b"1"), refused("dimensions"), path="m")
case("idx asked about", mnist(), read(lines=20), path="m", more=lambda: idx([i % 256 for i in range(120)], 20, 3, 2), ask="predict")

# Parquet.
case("Parquet by pandas", by_pandas(), PLAIN, file="d.parquet")
case("F6 Parquet of shuffled rows by pandas", by_pandas(lambda f: f.sample(frac=1, random_state=1)), read(rows=60, features=4, names=["a", "b", "c", "d"], said="left out"), file="d.parquet")
case("F6 Parquet with a named index", by_pandas(lambda f: f.assign(patient=[i * i + 7 for i in range(60)]).set_index("patient")), read(features=4, said="left out"), file="d.parquet")
case("F6 Parquet with two index columns", by_pandas(lambda f: f.assign(p=range(60), q=[i * i for i in range(60)]).set_index(["p", "q"])), read(features=4, said="left out"), file="d.parquet")
case("Parquet with an index that is a range", by_pandas(lambda f: f.reset_index(drop=True), index=False), PLAIN, file="d.parquet")
case("F6 an index that is asked for", by_pandas(lambda f: f.set_index("label")), read(features=4, outputs=2), sets=["data.label=label"], file="d.parquet")
case("Parquet by arrow", by_arrow(), PLAIN, file="d.parquet")
for codec in ["none", "snappy", "gzip", "zstd", "lz4"]:
    case(f"Parquet packed by {codec}", by_arrow(compression=codec), PLAIN, file="d.parquet")
case("Parquet packed by brotli", by_arrow(compression="brotli"), PLAIN, file="d.parquet")
case("Parquet under its other name", by_arrow(), PLAIN, file="d.pq")
case("F19 Parquet with checksums", by_arrow(write_page_checksum=True), PLAIN, file="d.parquet")
case("F19 Parquet with a wrong checksum", by_arrow(write_page_checksum=True, write_statistics=False, compression="none", use_dictionary=False, spoil=wrong_checksum), refused('column "a"', "undamaged"), file="d.parquet")
case("F19 with a dictionary", by_arrow(write_page_checksum=True, compression="none", spoil=wrong_checksum), refused('column "a"', "undamaged"), file="d.parquet")
case("F19 in pages of version 2", by_arrow(write_page_checksum=True, write_statistics=False, compression="none", data_page_version="2.0", use_dictionary=False, spoil=wrong_checksum), refused('column "a"', "undamaged"), file="d.parquet")
case("Parquet with a null", by_arrow(column("b", null_column)), refused("row 17", '"b"', "null"), file="d.parquet")
case("Parquet with NaN", by_arrow(column("b", nan_column)), refused("row 17", '"b"'), file="d.parquet")
case("Parquet with texts", by_arrow(column("b", lambda pa: pa.array(["x", "y", "z"] * 20))), read(rows=60, features=6), file="d.parquet")
case("Parquet with categories", by_arrow(column("b", lambda pa: pa.array(["x", "y"] * 30).dictionary_encode())), read(rows=60, features=5), file="d.parquet")
case("Parquet with words for classes", by_arrow(column("label", lambda pa: pa.array(["no", "yes"] * 30))), read(outputs=2, classes=["no", "yes"]), file="d.parquet")
case("Parquet with a null, its mean", by_arrow(column("b", null_column)), read(rows=60, features=5), sets=["data.missing=mean"], file="d.parquet")
case("Parquet with dates, left out", by_arrow(column("b", date_column)), read(features=3), sets=["data.ignore=b"], file="d.parquet")
case("Parquet with dates", by_arrow(column("b", date_column)), refused('"b"', "Date"), file="d.parquet")
case("Parquet with decimals", by_arrow(column("b", decimal_column)), PLAIN, file="d.parquet")
case("Parquet with float16", by_arrow(column("b", lambda pa: pa.array([0.5] * 60).cast(pa.float16()))), PLAIN, file="d.parquet")
case("Parquet with lists", by_arrow(column("b", lambda pa: pa.array([[1, 2]] * 60))), refused('"b', "nested"), file="d.parquet")
case("Parquet with booleans", by_arrow(column("b", lambda pa: pa.array([True, False] * 30))), PLAIN, file="d.parquet")
case("Parquet with unsigned numbers", by_arrow(column("b", lambda pa: pa.array([2**63 + i for i in range(60)], pa.uint64()))), PLAIN, file="d.parquet")
case("Parquet with a duration", by_arrow(column("b", lambda pa: pa.array(range(60), pa.duration("s")))), read(features=4), file="d.parquet")
case("Parquet in many groups", by_arrow(row_group_size=7), PLAIN, file="d.parquet")
case("Parquet without rows", by_arrow(lambda pa, c: [c.update({k: v.slice(0, 0)}) for k, v in list(c.items())]), refused("no rows"), file="d.parquet")
case("Parquet in a folder of parts", {"d.parquet/part-0.parquet": by_arrow(), "d.parquet/part-1.parquet": by_arrow(), "d.parquet/_SUCCESS": ""}, read(rows=120, features=4), path="d.parquet")
case("Parquet in a folder with a damaged part", {"d.parquet/part-0.parquet": b"PAR1"}, refused("d.parquet"), path="d.parquet")
case("Parquet that is something else", b"PAR1 no PAR1", refused("Parquet"), file="d.parquet")
case("F7 Parquet of one class", by_arrow(column("label", lambda pa: pa.array([1] * 60))), refused('"label"', "one value"), file="d.parquet")
case("F10 Parquet of times", by_arrow(lambda pa, c: [c.update(a=pa.array([1_700_000_000 + i * 7 % 60 for i in range(60)]), label=pa.array([int(i * 7 % 60 > 29) for i in range(60)])), c.pop("b"), c.pop("c"), c.pop("d")]), read(accuracy=0.7, features=1), file="d.parquet")

# Keys of specs that are closed doors: an unknown key is never taken for granted.
for key in ["data.sep=';'", "data.drop=[id]", "objective.class_weights=[1,2]", "train.early_stopping=true", "model.start=net.safetensors"]:
    case(f"--set {key}", text(numbers()), refused("unknown key"), sets=[key])
case("a whole number as 2e1", text(numbers()), PLAIN, sets=["train.batch=2e1"])
case("a number that is not whole", text(numbers()), refused("train.batch", "an integer"), sets=["train.batch=5.5"])
case("stratified rows", text(numbers()), PLAIN, sets=["data.stratify=true"])
case("rows to choose the best step by", {"d.csv": text(numbers()), "v.csv": text(numbers(20))}, read(rows=60, features=4, outputs=2), sets=["data.validation_path=v.csv"], path="d.csv")
case("rows to choose the best step by, twice", {"d.csv": text(numbers()), "v.csv": text(numbers(20))}, refused("data.validation", "not both"), sets=["data.validation_path=v.csv", "data.validation=5"], path="d.csv")
case("a stream with rows to choose the best step by", text(numbers()), read(rows=55, features=4, outputs=2), sets=["data.stream=true", "train.shuffle=20", "data.validation=5"])
case("a stream of Parquet with words", by_arrow(column("label", lambda pa: pa.array(["no", "yes"] * 30))), read(outputs=2, classes=["no", "yes"]), file="d.parquet", sets=["data.stream=true", "train.shuffle=20"])
case("a label that no column has", text(numbers(), NAMED), refused("label column", "did you mean"), sets=["data.label=lable"])
case("data.header as a word", text(numbers()), refused("data.header"), sets=["data.header=perhaps"])
case("data.label below zero", text(numbers()), refused("data.label"), sets=["data.label=-1"])
case("data.center = none", text(numbers()), PLAIN, sets=["data.center=none"])
case("cross-entropy of values", regression(), refused("objective.loss"), sets=["data.target=value"])

# Running.


def put(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = content() if callable(content) else content
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def train(onward, folder, this):
    (folder / "s.toml").write_text(SPEC.format(path=this["path"], loss=this["loss"]))
    sets = [word for key in this["sets"] for word in ("--set", key)]
    return call(onward, folder, ["train", "s.toml", "--json", "--threads", "1", *sets])


def call(onward, folder, words):
    environment = {**os.environ, "HOME": str(folder)}
    return subprocess.run([onward, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def events(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def predicted_as_parquet(onward, folder):
    """Answers in a Parquet file: begun and ended by its magic letters, of as many rows as were asked about."""
    put(folder, "d.csv", text(numbers()))
    done = train(onward, folder, {"path": "d.csv", "loss": "cross-entropy", "sets": []})
    done = call(onward, folder, ["predict", "runs/s", "d.csv", "--out", "a.parquet", "--json"]) if done.returncode == 0 else done
    if done.returncode != 0:
        return done.stderr
    answers = (folder / "a.parquet").read_bytes()
    sound = answers[:4] == answers[-4:] == b"PAR1" and events(done.stdout)[-1]["rows"] == 60
    return "" if sound else f"no Parquet of 60 rows: {done.stdout}"


def lock_with_its_owner(onward, folder):
    """A folder that a process works on is refused with that process's id."""
    study = [onward, "minimize", "--goal", "min", "--space", "x:0..1", "--budget", "99", "--out", "study", "-q", "--"]
    with subprocess.Popen([*study, "sh", "-c", "touch begun; sleep 0.2; echo {x}"], cwd=folder) as owner:
        try:
            for _ in range(200):
                if (folder / "begun").exists():
                    break
                time.sleep(0.05)
            done = call(onward, folder, ["minimize", "--resume", "--out", "study"])
        finally:
            owner.kill()
    named = done.returncode == 2 and str(owner.pid) in done.stderr
    return "" if named else f"exit code {done.returncode}: {done.stderr.strip()}"


def manual(onward, folder):
    """Pages of the program and of each of its commands, for `man -l -`."""
    pages = {name: call(onward, folder, ["man", *name]) for name in [(), ("train",), ("minimize",), ("compare",)]}
    flawed = [" ".join(name) for name, page in pages.items() if page.returncode or not page.stdout.startswith(".ie") or ".TH onward" not in page.stdout]
    other = call(onward, folder, ["man", "trian"])
    return f"no page: {flawed}" if flawed else "" if other.returncode == 2 and "train" in other.stderr else other.stderr


# Doors that are no data files: each returns what is wrong, empty if nothing is.
DOORS = {"predictions as Parquet": predicted_as_parquet, "a lock names its owner": lock_with_its_owner, "onward man": manual}


def outcome(onward, this):
    """What happened, as (kind, facts or text); kind is read, refused or broken."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, content in this["files"].items():
            put(folder, name, content)
        done = train(onward, folder, this)
        if this["ask"]:
            if done.returncode != 0:
                return "broken", "training failed: " + done.stderr.strip()
            more = "more" + "".join(pathlib.Path(this["path"]).suffixes) if this["path"] != "m" else "t10k-images-idx3-ubyte"
            put(folder, more, this["more"])
            done = call(onward, folder, [this["ask"], "runs/s", more, "--json"])
        if done.returncode == 0:
            return "read", facts(folder, events(done.stdout))
        lines = done.stderr.strip().splitlines()
        left = not this["ask"] and list(folder.glob("runs/*"))
        if done.returncode == 2 and len(lines) == 1 and not left:
            return "refused", lines[0]
        return "broken", f"exit code {done.returncode}{', a folder left' if left else ''}: {' / '.join(lines)[:300]}"


def facts(folder, found):
    interface = json.loads((folder / "runs/s/interface.json").read_text())
    report = (folder / "runs/s/report.html").read_text()
    row = lambda label: int(re.sub(r"\D", "", re.search(f"{label}</th><td[^>]*>([^<]*)<", report)[1]))
    height, width, channels = interface["preparation"]["shape"]
    last = found[-1] if found else {}
    return {
        "rows": row("Training rows") + row("Test rows"),
        "features": height * width * channels,
        "outputs": interface["outputs"],
        "names": interface["preparation"]["names"],
        "first": (interface["preparation"]["names"] or [None])[0],
        "classes": interface["preparation"].get("classes", []),
        "accuracy": last.get("test_accuracy", last.get("accuracy")),
        "loss": last.get("test_loss", last.get("loss")),
        "said": " / ".join(e["text"] for e in found if e.get("event") == "note"),
        "lines": sum("row" in e for e in found),
        "between": [v for e in found for v in e.get("outputs", [])],
    }


def mismatch(expected, found):
    """What is not as expected; empty if all is."""
    (kind, wanted), (found_kind, got) = expected, found
    if kind != found_kind:
        return f"{found_kind}: {got}" if found_kind != "read" else f"read: { {k: got[k] for k in ('rows', 'features', 'outputs', 'names', 'accuracy', 'loss')} }"
    if kind == "refused":
        absent = [word for word in wanted if word.lower() not in got.lower()]
        return f"refused without {absent}: {got}" if absent else ""
    checks = {
        "accuracy": lambda want, have: have is not None and have >= want,
        "loss": lambda want, have: have is not None and have < want,
        "said": lambda want, have: want in have,
        "between": lambda want, have: have and all(want[0] <= v <= want[1] for v in have),
    }
    wrong = [k for k, want in wanted.items() if not checks.get(k, lambda a, b: a == b)(want, got[k])]
    return "; ".join(f"{k} is {got[k]!r:.200}, expected {wanted[k]!r}" for k in wrong)


def in_words(expected):
    kind, detail = expected
    return f"refused: {', '.join(detail)}" if kind == "refused" else "read" + "".join(f", {k} {v}" for k, v in detail.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--onward", default=str(ROOT / "target/release/onward"))
    parser.add_argument("--only", default="", help="the cases whose names have this word in them")
    parser.add_argument("--list", action="store_true", help="print the expectations and run nothing")
    args = parser.parse_args()
    chosen = [this for this in CASES if args.only.lower() in this["name"].lower()]
    if args.list:
        print("\n".join(f"{this['name']:60}  {in_words(this['expected'])}" for this in chosen))
        print("\n".join(f"{name:60}  {door.__doc__}" for name, door in DOORS.items()))
        return 0
    onward, wrong, skipped, kinds = str(pathlib.Path(args.onward).resolve()), 0, 0, {"read": 0, "refused": 0}
    for this in chosen:
        try:
            found = outcome(onward, this)
        except Missing as why:
            skipped += 1
            print(f"SKIPPED  {this['name']:60}  {why}")
            continue
        flaw = mismatch(this["expected"], found)
        wrong += bool(flaw)
        kinds[this["expected"][0]] += not flaw
        print(f"{'WRONG   ' if flaw else 'as said '} {this['name']:60}  {in_words(this['expected'])}" + (f"\n         → {flaw}" if flaw else ""), flush=True)
    for name, door in DOORS.items():
        if args.only.lower() not in name.lower():
            continue
        with tempfile.TemporaryDirectory() as folder:
            flaw = door(onward, pathlib.Path(folder))
        wrong += bool(flaw)
        print(f"{'WRONG   ' if flaw else 'as said '} {name:60}  {door.__doc__}" + (f"\n         → {flaw}" if flaw else ""), flush=True)
    print(f"{len(chosen)} cases: {kinds['read']} read and {kinds['refused']} refused as expected, {wrong} not as expected, {skipped} skipped")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
