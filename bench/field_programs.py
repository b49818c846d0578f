#!/usr/bin/env python3
"""A zoo of odd programs: what `onward minimize` must make of each of them.

Every program is made in a folder of its own and evaluated by the given binary. Expected is one of

    Loss(v)         the first evaluation's loss is v, and the study ends well
    Fails(words)    the first evaluation fails with a reason that holds these words; nothing else is taken for its loss
    Refused(words)  the study ends with exit code 2 and one sentence that holds these words

    bench/field_programs.py [--onward target/release/onward] [--only NAME]

The exit code is 1 if one program is not treated as expected. Results: bench/field.md.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections import namedtuple

Loss = namedtuple("Loss", "value")
Fails = namedtuple("Fails", "words")
Refused = namedtuple("Refused", "words")
Case = namedtuple("Case", "name body expected options seconds", defaults=["", 5])

SH, PY = "#!/bin/sh\n", "#!/usr/bin/env python3\n"


def prints(name, text, expected, options=""):
    """A program that prints exactly these bytes."""
    data = text if isinstance(text, bytes) else text.encode()
    return Case(name, f"{PY}import sys\nsys.stdout.buffer.write({data!r})\n", expected, options)


CASES = [
    # One number, however it is dressed.
    prints("a number", "0.25\n", Loss(0.25)),
    prints("no final newline", "0.25", Loss(0.25)),
    prints("CRLF", "epoch 1\r\nloss 0.25\r\n", Loss(0.25)),
    prints("blank lines at the end", "0.25\n\n \n", Loss(0.25)),
    prints("the end of a sentence", "The loss is 0.25.\n", Loss(0.25)),
    prints("several numbers, the last counts", "3 4\n5 0.25\n", Loss(0.25)),
    prints("a progress bar of carriage returns", "  1% 0.9\r 50% 0.5\r100% 0.25\n", Loss(0.25)),
    prints("an exponent", "loss 2.5E-1\n", Loss(0.25)),
    prints("a subnormal", "1e-310\n", Loss(1e-310)),
    prints("1e400", "1e400\n", Fails("the loss is inf")),
    # What is required of numbers in JSON.
    prints("a condition that is met", '{"loss": 0.25, "g": -1}\n', Loss(0.25), "--require g<=0"),
    prints("a condition that is missed", '{"loss": 0.25, "g": 1}\n', Fails("not g <= 0"), "--require g<=0"),
    prints("a condition on nothing", '{"loss": 0.25}\n', Fails("printed no number `g`"), "--require g<=0"),
    prints("a condition that is none", '{"loss": 0.25}\n', Refused("--require"), "--require g~0"),
    prints("a start outside", "0.25\n", Refused("--start"), "--start x=99"),
    prints("points that are not there", "0.25\n", Refused("none.csv"), "--known none.csv"),
    prints("a strategy misspelt", "0.25\n", Refused("did you mean sobol?"), "--method sobl"),
    # Colours and percent signs.
    prints("colours", "epoch 100\n\x1b[32m0.25\x1b[0m\n", Loss(0.25)),
    prints("colours beside another number", "step 3 loss \x1b[1;32m0.25\x1b[0m\n", Loss(0.25)),
    prints("a window's title", "\x1b]0;epoch 7\x07loss 0.25\n", Loss(0.25)),
    prints("percent", "epoch 100\naccuracy 95.5%\n", Loss(95.5)),
    prints("percent after an epoch", "epoch 10, accuracy 95.5%\n", Loss(95.5)),
    # What begins like a number and is none is never passed over.
    prints("a decimal comma", "loss 3,125\n", Fails("`3,125`")),
    prints("a decimal comma after =", "loss=0,25\n", Fails("`0,25`")),
    prints("a comma of thousands", "cost: 1,234.50\n", Fails("`1,234.50`")),
    prints("underscores", "step 7 loss 1_000.5\n", Fails("`1_000.5`")),
    prints("apostrophes", "cost 1'234.50\n", Fails("`1'234.50`")),
    prints("a unit without a blank", "epoch 10, accuracy 95.3x\n", Fails("`95.3x`")),
    prints("hexadecimal", "0x1F\n", Fails("`0x1F`")),
    prints("a time of day", "saved at 12:30:05\n", Fails("`12:30:05`")),
    prints("a true minus sign", "loss −0.25\n".encode(), Fails("`−0.25`")),
    prints("NUL bytes", b"0.25\0\0\n", Fails("NUL")),
    prints("UTF-16", "loss 0.25\n".encode("utf-16"), Fails("NUL")),
    # The line names the loss.
    prints("the loss before other numbers", "loss 0.25, accuracy 0.9\n", Loss(0.25)),
    prints("the loss and a time", "loss: 0.25 (3.2s)\n", Loss(0.25)),
    prints("nan and a step", "loss nan at step 12\n", Fails("the loss is NaN")),
    prints("no number where the loss should be", "loss after step 12\n", Fails("`after`")),
    prints("nan somewhere", "nan at step 12\n", Fails("`nan`")),
    prints("a name of one's own", "loss 3 accuracy 0.25 in 7 s\n", Loss(0.25), "--key accuracy"),
    # An earlier line is never fallen back to.
    prints("a last line without a number", "epoch 100\nall done\n", Fails("`all done`")),
    prints("nothing", "", Fails("printed nothing")),
    prints("blanks", " \n\n", Fails("printed nothing")),
    prints("nan", "nan\n", Fails("the loss is NaN")),
    prints("inf", "inf\n", Fails("the loss is inf")),
    # JSON.
    prints("JSON", 'log\n{"loss": 0.25, "lr": 3}\n', Loss(0.25)),
    prints("JSON over lines", 'log\n{\n  "loss": 0.25,\n  "n": [3]\n}\n', Loss(0.25)),
    prints("JSON with NaN", '{"loss": NaN, "acc": 0.5, "n": 7}\n', Fails("the loss is NaN")),
    prints("JSON with Infinity", '{"loss": Infinity, "epochs": [1, 2]}\n', Fails("the loss is inf")),
    prints("JSON with NaN elsewhere", '{"loss": 0.25, "grad": NaN, "low": -Infinity}\n', Loss(0.25)),
    prints("JSON with a word NaN", '{"note": "NaN: 7", "loss": 0.25}\n', Loss(0.25)),
    prints("JSON out of range", '{"loss": -1e400, "n": 3}\n', Fails("JSON")),
    prints("JSON cut short", '{"acc": 0.5, "loss": 0.2', Fails("JSON")),
    prints("a Python dict", "{'loss': 0.25, 'n': 7}\n", Fails("JSON")),
    prints("JSON without the key", '{"los": 0.25, "n": 7}\n', Fails("without `loss`")),
    prints("JSON whose loss is a word", '{"loss": "low", "n": 7}\n', Fails("no number")),
    prints("the end of a JSON whose start is elsewhere", 'r: {"loss": 0.5,\n "n": 7}\n', Fails("JSON")),
    # What stands beside a number may change it.
    Case("a minus that stands apart", SH + "echo 'loss − 0.5'\n", Fails("may change it, in `loss − 0.5`")),
    Case("a hyphen that stands apart", SH + "echo 'loss - 0.5'\n", Fails("may change it")),
    Case("a dash for a minus", SH + "echo 'loss=–0.5'\n", Fails("may change it")),
    Case("digits in groups", SH + "echo 'loss 1 000'\n", Fails("may be one number, in `loss 1 000`")),
    Case("a product", SH + "echo 'loss 1.5 x 10^-3'\n", Fails("may be one number")),
    Case("a bound", SH + "echo 'loss < 0.5'\n", Fails("may change it")),
    Case("a deviation in brackets", SH + "echo '0.5 (0.1)'\n", Fails("may be its deviation")),
    Case("a key twice in JSON", SH + """echo '{"loss":1,"loss":2}'\n""", Fails("`loss` stands in it twice")),
    Case("two different losses", SH + "echo 'loss 1 val loss 2'\n", Fails("1 and 2 stand after `loss`")),
    Case("columns of a table", SH + "echo '3   400'\n", Loss(400)),
    Case("JSON of 2 MB on one line",
         PY + 'import json\nprint(json.dumps({"loss": 0.25, "all": [7.5] * 500000}))\n',
         Fails("longer than")),
    # Ends.
    Case("prints and fails", SH + "echo 0.25; exit 3\n", Fails("exit status: 3")),
    Case("killed by a signal", SH + "echo 0.25; kill -SEGV $$\n", Fails("signal: 11")),
    Case("hangs", SH + "echo 0.25; sleep 60\n", Fails("took longer than 0.5 s"), "--timeout 0.5"),
    Case("slow", SH + "sleep 1; echo 0.25\n", Loss(0.25)),
    Case("leaves a daemon", SH + "sleep 20 &\necho 0.25\n", Loss(0.25), "", 2),
    Case("leaves a daemon in a session of its own", SH + "setsid sleep 20 &\necho 0.25\n", Loss(0.25), "--budget 4", 2),
    # What programs do besides.
    Case("reads standard input", PY + "import sys\nprint(len(sys.stdin.read()) + 0.25)\n", Loss(0.25)),
    Case("30 MB on standard error", PY + "import sys\nsys.stderr.write('x' * 79 + '\\n')\nsys.stderr.write(('y' * 79 + '\\n') * 375000)\nprint(0.25)\n", Loss(0.25)),
    Case("30 MB on standard output", PY + "print(('step 7' + '.' * 73 + '\\n') * 375000 + '0.25')\n", Loss(0.25)),
    Case("closes standard output", PY + "import os\nos.write(1, b'0.25\\n')\nos.close(1)\n", Loss(0.25)),
    Case("changes its folder", SH + "cd /\necho 0.25\n", Loss(0.25)),
    Case("prints on standard error alone", SH + "echo 0.25 >&2\n", Fails("printed nothing")),
    Case("writes a number first to standard error", SH + "echo 7 >&2; echo 0.25\n", Loss(0.25)),
    Case("is text that nobody marked executable", None, Refused("is it executable?")),
    Case("needs an interpreter that is not there", "#!/none/such\n", Refused("cannot start")),
    Case("vanishes half-way", SH + "[ $ONWARD_ID = 2 ] && rm program\necho 0.25\n", Refused("kept: 3 evaluations"), "--budget 6"),
    Case("removes the study's folder", SH + "[ $ONWARD_ID = 2 ] && rm -r study\necho $ONWARD_ID >> ran\necho 0.25\n", Refused("removed"), "--budget 40"),
    Case("starts a command that is not there", SH + "no-such-command {x}\n", Fails("exit status: 127"), "--budget 40"),
]


def run(case, onward, folder):
    """What the program does under the case, as (exit code, standard error, evaluations, seconds)."""
    program = folder / "program"
    program.write_text("echo 0.25\n" if case.body is None else case.body)
    program.chmod(0o644 if case.body is None else 0o755)
    options = case.options if "--budget" in case.options else f"--budget 1 {case.options}"
    command = [str(onward), "minimize", "--goal", "min", "--space", "x:0..1", "--out", "study", *options.split(), "--", "./program"]
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    seconds = time.monotonic() - began
    journal = folder / "study" / "journal.jsonl"
    lines = journal.read_text().splitlines() if journal.exists() else []
    evaluations = [e for e in map(json.loads, lines) if e["event"] == "evaluation"]
    return done.returncode, done.stderr, evaluations, seconds


def complaint(case, code, stderr, evaluations, seconds):
    """What is not as expected, or None."""
    if seconds > case.seconds:
        return f"took {seconds:.1f} s, at most {case.seconds} s were expected"
    if isinstance(case.expected, Refused):
        if code != 2 or case.expected.words not in stderr or len(stderr.strip().splitlines()) > 2:
            return f"exit code {code}: {stderr.strip()}"
        return None
    if not evaluations:
        return f"no evaluation, exit code {code}: {stderr.strip()}"
    loss, reason = evaluations[0]["loss"], evaluations[0].get("failed", "")
    if isinstance(case.expected, Fails):
        as_expected = loss is None and case.expected.words in reason and code == 4
    else:
        as_expected = loss == case.expected.value and code == 0
    return None if as_expected else f"loss {loss}, {reason or 'no failure'}, exit code {code}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--onward", default="target/release/onward")
    parser.add_argument("--only", help="programs whose name holds this word")
    args = parser.parse_args()
    onward = pathlib.Path(args.onward).resolve()
    wrong = 0
    chosen = [case for case in CASES if not args.only or args.only in case.name]
    print("| program | expected | found |\n|---|---|---|")
    for case in chosen:
        with tempfile.TemporaryDirectory() as folder:
            found = complaint(case, *run(case, onward, pathlib.Path(folder)))
        wrong += found is not None
        expected = f"{type(case.expected).__name__.lower()} {case.expected[0]}"
        print(f"| {case.name} | {expected} | {found or 'as expected'} |", flush=True)
    print(f"\n{len(chosen) - wrong} of {len(chosen)} as expected")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
