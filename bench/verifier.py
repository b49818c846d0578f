"""Sentences whose answers are JSON objects with three of their words: what the verifier's runs in bench/language.md learn.

    python3 bench/verifier.py FOLDER [--forms 1] [--rows 900] [--seed 1]

writes FOLDER/train.jsonl and FOLDER/test.jsonl (no answer of one is in the other), and FOLDER/form.jsonl: the training prompts with answers of the right form
and random words. A constant answer has a share of the values right by chance, as
printed.
"""

import argparse
import itertools
import json
import os
import pathlib
import random

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--forms", type=int, default=1, help="sentences that prompts are of, 1 to 3")
parser.add_argument("--words", type=int, default=12, help="of each kind, at most")
parser.add_argument("--rows", type=int, default=900)
parser.add_argument("--test", type=int, default=200)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()

WORDS = {
    "name": "Tom Lily Ben Mia Sam Anna Tim Sue Max Amy Jack Lucy".split(),
    "color": "red blue green yellow pink black white brown".split(),
    "toy": "ball car doll hat book kite boat bear cake drum train bike".split(),
}
FORMS = ("{name} has a {color} {toy}.", "The {toy} of {name} is {color}.", "Look at the {color} {toy}! It is for {name}.")
draw = random.Random(args.seed)
WORDS = {key: words[: args.words] for key, words in WORDS.items()}
every = [dict(zip(WORDS, values)) for values in itertools.product(*WORDS.values())]
draw.shuffle(every)
if len(every) < args.rows + args.test:
    raise SystemExit(f"{len(every)} answers are fewer than the {args.rows + args.test} wanted")
args.folder.mkdir(parents=True, exist_ok=True)
forms, nowhere = open(args.folder / "form.jsonl", "w"), open(os.devnull, "w")
for name, rows in (("train", every[: args.rows]), ("test", every[args.rows : args.rows + args.test])):
    with open(args.folder / f"{name}.jsonl", "w") as file:
        for answer in rows:
            prompt = draw.choice(FORMS[: args.forms]).format(**answer) + "\n"
            print(json.dumps({"prompt": prompt, "completion": json.dumps(answer)}), file=file)
            wrong = {key: draw.choice(words) for key, words in WORDS.items()}
            print(json.dumps({"prompt": prompt, "completion": json.dumps(wrong)}), file=forms if name == "train" else nowhere)
    best = max(sum(row[key] == constant[key] for row in rows for key in row) / 3 / len(rows) for constant in every)
    print(f"{name}: {len(rows)} prompts; the best constant answer has {best:.3f} of the values right")
