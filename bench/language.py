#!/usr/bin/env python3
"""Tunes stories260K on tinyshakespeare in several ways: what each reaches, for how many forward-equivalents, and what it forgets (bench/language.md).

    python3 bench/language.py DATA [--binary target/release/onward] [--only NAME] [--seeds 1,2,3] [--validate] [--steps N] [--set KEY=VALUE ...]

DATA is a folder with llm/stories260K and text/. With --validate the last tenth of the text is left out and the tenth before it is the test part: settings are
chosen so. One line of JSON a run. A forward-equivalent (F) is the multiply-adds of a forward pass over 512 tokens; a run's F are
those that it really makes.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

BLOCKS, WIDTH, INNER, KV, VOCABULARY = 5, 64, 172, 32, 512


def cost(length, said):
    """F of a step: the clean pass, products by which credit comes down, those by which weights earn it, and what runs again."""
    attention, mlp = 2 * WIDTH * WIDTH + 2 * WIDTH * KV, 3 * WIDTH * INNER
    core, logits = 2 * WIDTH * (length + 1) / 2, WIDTH * VOCABULARY
    whole = BLOCKS * (attention + mlp + core) + logits
    blocks, draws = int(said.get("model.top", 0)) or BLOCKS, int(said.get("method.differences", 0))
    learns = said.get("model.learns", "all")
    made = whole + 2 * logits  # the head's credit: to its weights, and to what it reads
    if learns == "all":
        made += blocks * (2 * (attention + mlp) + 2.5 * core)
    # Suffixes behind each place: the mlp of the top block, its attention, the mlp below it, ...
    behind = logits
    for place in range(2 * blocks - (blocks < BLOCKS or learns != "all") if draws else 0):
        behind += mlp if place % 2 == 0 else attention + core
        made += draws * behind
    if learns.startswith("bottlenecks"):
        rank = int(said["model.rank"])
        made += blocks * 2 * rank * (WIDTH + INNER + 2 * WIDTH)
    return made / whole


def main():
    args = argparse.ArgumentParser()
    args.add_argument("data", type=pathlib.Path)
    args.add_argument("--binary", default="target/release/onward")
    args.add_argument("--only", default="")
    args.add_argument("--seeds", default="1")
    args.add_argument("--validate", action="store_true")
    args.add_argument("--steps", type=int)
    args.add_argument("--set", action="append", default=[])
    args.add_argument("--forgetting", action="store_true")
    a = args.parse_args()
    model, text = a.data / "llm/stories260K", a.data / "text/tinyshakespeare/input.txt"
    local = ["method.name=relative-local", "method.scaling=adam", "method.warmup=10", "method.final_rate=0.05"]
    bottleneck = ["model.learns=bottlenecks-and-head", "model.rank=40", "model.alpha=40",
                  'model.adapted=["o_proj","down_proj"]', "method.differences_at=layers"]
    mezo = ["method.name=two-point", "method.directions=1", "method.noise=normal", "method.sigma=1e-3", "method.momentum=0",
            "method.schedule=constant"]
    # name: (settings, steps)
    arms = {
        "head": (["model.learns=head", *local, "method.rate=3e-3"], 250),
        "local-all": ([*local, "method.rate=3e-3"], 300),
        "local-top2": (["model.top=2", *local, "method.rate=3e-3"], 300),
        "differences": (["model.top=2", *local, "method.rate=2e-3", "method.differences=1"], 300),
        "differences-2": (["model.top=2", *local, "method.rate=2e-3", "method.differences=2"], 300),
        "bottleneck": (["model.top=2", *bottleneck, *local, "method.rate=2e-3", 'train.rates=["*.lora_A.*:2.5"]',
                        "method.differences=1", "train.batch=4"], 600),
        "mezo-3e-5": ([*mezo, "method.rate=3e-5"], 10_000),
        "mezo-1e-4": ([*mezo, "method.rate=1e-4"], 10_000),
    }

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        letters = text.read_text()
        if a.validate:
            letters = letters[: int(0.9 * len(letters))]
        (folder / "input.txt").write_text(letters)
        (folder / "spec.toml").write_text(
            f'seed = 1\n[data]\npath = "input.txt"\nlength = 64\ntest = 0.1\n[model]\nkind = "language"\npath = "{model.resolve()}"\n'
            '[objective]\nloss = "item-cross-entropy"\n[method]\nname = "relative-local"\n[train]\nbatch = 8\nsteps = 100\n')
        story = (a.data / "text/tinystories/tinystories_sample.txt").read_text()[:200_000]
        (folder / "stories.txt").write_text(story)
        for name, (sets, steps) in arms.items():
            if a.only and name not in a.only.split(","):
                continue
            said = dict(own.split("=", 1) for own in [*sets, *a.set])
            per_step = 2.0 if name.startswith("mezo") else cost(64, said)
            for seed in a.seeds.split(","):
                steps_here = a.steps or steps
                run = folder / "runs" / f"{name}-{seed}"
                words = [a.binary, "train", folder / "spec.toml", "--runs", folder / "runs", "--name", run.name, "--seed", seed,
                         "--threads", "1", "--quiet", "--no-plots", "--set", f"train.steps={steps_here}"]
                for own in [*sets, *a.set]:
                    words += ["--set", own]
                subprocess.run(words, check=True)
                result = json.loads((run / "result.json").read_text())
                tokens = steps_here * int(said.get("train.batch", 8)) * 64
                told = {"arm": name, "seed": int(seed), "steps": steps_here, "tokens": tokens, "set": a.set,
                        "F": round(per_step * tokens / 512), "seconds": round(result["seconds"], 1),
                        "loss": result["scores"]["test_loss"]}
                if a.forgetting:
                    words = [a.binary, "eval", run, folder / "stories.txt", "--threads", "1", "--json"]
                    out = subprocess.run(words, check=True, capture_output=True, text=True).stdout
                    told["stories"] = [json.loads(l)["loss"] for l in out.splitlines() if "\"loss\"" in l][-1]
                print(json.dumps(told), flush=True)
                subprocess.run(["rm", "-rf", run], check=True)


if __name__ == "__main__":
    main()
