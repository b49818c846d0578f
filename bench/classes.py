#!/usr/bin/env python3
"""Tunes an encoder on SST-2 in several ways, ours and PyTorch's: accuracies on the development rows, which nothing is chosen by, by seed, with paired intervals (bench/language.md).

    python3 bench/classes.py DATA MODEL [--binary target/release/onward] [--python PYTHON] [--only ARM,...] [--seeds 1,2,3,4,5] [--validate] [--set KEY=VALUE ...]

DATA is a folder with text/sst2-glue, MODEL one with the encoder. A seed is also that of the 1 000 training rows, drawn from the training files without 2 000 rows that
are drawn first: with --validate these are the test part, and settings are chosen so. --rows 0 takes all others. PYTHON has torch and scikit-learn; without it there are no peers. One
line of JSON a run; then the paired differences to Adam's full fine-tuning.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

# Half the width of 95 % intervals in standard errors, by the number of pairs (Student).
T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
LOCAL = ["method.name=relative-local", "method.scaling=adam", "method.final_rate=0.05"]
PROBE = """
import json, sys, warnings
import numpy as np
from sklearn.linear_model import LogisticRegression
warnings.simplefilter("ignore")
train, labels, test, wanted = (np.array(json.loads(open(path).read())) for path in sys.argv[1:5])
print(LogisticRegression(C=float(sys.argv[5]), max_iter=5000).fit(train, labels).score(test, wanted))
"""


def files(data, place, seed, rows, validate):
    folder = data / "text/sst2-glue"
    lines = [line for part in ("train_part1.tsv", "train_part2.tsv") for line in (folder / part).read_text().splitlines()[1:]]
    random.Random(0).shuffle(lines)
    held, rest = lines[:2000], lines[2000:]
    train = random.Random(seed).sample(rest, rows) if rows else rest
    test = held if validate else (folder / "dev.tsv").read_text().splitlines()[1:]
    for name, own in [("train.tsv", train), ("test.tsv", test)]:
        (place / name).write_text("sentence\tlabel\n" + "\n".join(own) + "\n")
    return len(train)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("data", type=pathlib.Path)
    args.add_argument("model", type=pathlib.Path)
    args.add_argument("--binary", default="target/release/onward")
    args.add_argument("--python")
    args.add_argument("--only", default="")
    args.add_argument("--seeds", default="1,2,3,4,5")
    args.add_argument("--rows", type=int, default=1000)
    args.add_argument("--epochs", type=float, default=3)
    args.add_argument("--validate", action="store_true")
    args.add_argument("--rate", type=float)
    args.add_argument("--set", action="append", default=[])
    a = args.parse_args()
    peer = pathlib.Path(__file__).parent / "peers/classes_torch.py"
    # name: settings, rate
    ours = {
        "local-all": (["model.top=6", *LOCAL], 2e-4),
        "local-top1": (["model.top=1", *LOCAL], 5e-4),
        "differences": (["model.top=2", *LOCAL, "method.differences=4"], 2e-4),
    }
    theirs = {"adam-all": ([], 1e-4), "adam-top1": (["--blocks", "1"], 5e-4)}
    found = {}
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        for seed in map(int, a.seeds.split(",")):
            rows = files(a.data, place, seed, a.rows, a.validate)
            steps = round(a.epochs * rows / 16)

            def told(arm, accuracy, **more):
                found.setdefault(arm, {})[seed] = accuracy
                print(json.dumps({"arm": arm, "seed": seed, "accuracy": round(accuracy, 2), **more}), flush=True)

            for arm, (sets, rate) in ours.items():
                if a.only and arm not in a.only.split(","):
                    continue
                run, rate = place / f"{arm}-{seed}", a.rate or rate
                words = [a.binary, "tune", "--model", a.model, "--data", place / "train.tsv", "--eval", place / "test.tsv", "--runs", place, "--name", run.name]
                words += ["--steps", steps, "--batch", 16, "--rate", rate, "--seed", seed, "--threads", 1, "--quiet"]
                for own in [*sets, f"method.warmup={steps // 10}", f"train.eval_every={steps}", *a.set]:
                    words += ["--set", own]
                began = time.time()
                subprocess.run([str(word) for word in words], check=True)
                result = json.loads((run / "result.json").read_text())
                told(arm, 100 * result["scores"]["test_accuracy"], rate=rate, steps=steps, set=a.set, seconds=round(time.time() - began, 1))
                subprocess.run(["rm", "-rf", run], check=True)
            if not a.python:
                continue
            for arm, (words, rate) in theirs.items():
                if a.only and arm not in a.only.split(","):
                    continue
                words = [a.python, peer, a.model, place / "train.tsv", place / "test.tsv", "--steps", steps, "--seed", seed, "--rate", a.rate or rate, *words]
                out = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout
                own = json.loads(out.splitlines()[-1])
                told(arm, own["accuracy"], rate=own["rate"], steps=steps, seconds=own["seconds"])
            if not a.only or "probe" in a.only.split(","):
                for part in ("train", "test"):
                    out = subprocess.run([a.binary, "predict", str(a.model), str(place / f"{part}.tsv"), "--json", "--threads", "1"],
                                         check=True, capture_output=True, text=True).stdout
                    (place / f"{part}.json").write_text(json.dumps([json.loads(line)["outputs"] for line in out.splitlines()]))
                    labels = [int(line[-1]) for line in (place / f"{part}.tsv").read_text().splitlines()[1:]]
                    (place / f"{part}-labels.json").write_text(json.dumps(labels))
                paths = [str(place / name) for name in ("train.json", "train-labels.json", "test.json", "test-labels.json")]
                for strength in ([0.03, 0.1, 0.3, 1, 3] if a.validate else [0.3]):
                    out = subprocess.run([a.python, "-c", PROBE, *paths, str(strength)], check=True, capture_output=True, text=True).stdout
                    told("probe" if strength == 0.3 else f"probe-{strength}", 100 * float(out), strength=strength)
    for arm, own in found.items():
        pairs = [own[seed] - found["adam-all"][seed] for seed in own if seed in found.get("adam-all", {})]
        words = f"{arm}: mean {statistics.mean(own.values()):.2f} of {len(own)}"
        if len(pairs) > 1 and arm != "adam-all":
            half = T[len(pairs)] * statistics.stdev(pairs) / len(pairs) ** 0.5
            words += f"; less Adam's {statistics.mean(pairs):+.2f} ± {half:.2f} (95 %, {len(pairs)} pairs)"
        print(words, flush=True)


if __name__ == "__main__":
    main()
