"""Small random models of each kind that is read, written by transformers: their loss on a text, here and there; and tuned ones, handed back.

    python bench/peers/language_files.py DATA [--binary target/release/onward]

DATA has llm/stories260K (whose tokenizer all of them get) and text/. One line a model: our loss, transformers', and how far they are apart; then a tuned model as a
folder and as a PEFT adapter. Ends with 1 if a distance is above 1e-4.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
import transformers as t

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from language_torch import rows_of, score  # noqa: E402

SIZES = dict(vocab_size=512, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=512, bos_token_id=1, eos_token_id=2)
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
MODELS = {
    "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**SIZES, rope_theta=1e4)),
    "llama-biases-tied": lambda: t.LlamaForCausalLM(t.LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True, tie_word_embeddings=True)),
    "llama3-rope": lambda: t.LlamaForCausalLM(t.LlamaConfig(**SIZES, rope_theta=5e5, rope_scaling=LLAMA3)),
    "llama-yarn": lambda: t.LlamaForCausalLM(t.LlamaConfig(**SIZES, rope_theta=1e4, rope_scaling=YARN)),
    "llama-linear": lambda: t.LlamaForCausalLM(t.LlamaConfig(**SIZES, rope_scaling={"rope_type": "linear", "factor": 4.0})),
    "mistral": lambda: t.MistralForCausalLM(t.MistralConfig(**SIZES, sliding_window=None)),
    "qwen2": lambda: t.Qwen2ForCausalLM(t.Qwen2Config(**SIZES, tie_word_embeddings=True)),
    "qwen3": lambda: t.Qwen3ForCausalLM(t.Qwen3Config(**SIZES, head_dim=32)),
    "gpt2": lambda: t.GPT2LMHeadModel(t.GPT2Config(vocab_size=512, n_embd=64, n_head=4, n_layer=3, n_positions=512, bos_token_id=1, eos_token_id=2)),
}


def main():
    args = argparse.ArgumentParser()
    args.add_argument("data", type=pathlib.Path)
    args.add_argument("--binary", default="target/release/onward")
    a = args.parse_args()
    torch.set_num_threads(1)
    stories = a.data / "llm/stories260K"
    worst = 0.0
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        text = (a.data / "text/tinyshakespeare/input.txt").read_text()[:20_000]
        (place / "text.txt").write_text(text)
        x, y = rows_of(text, stories, 128)

        def onward(*words):
            done = subprocess.run([a.binary, *map(str, words)], capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            return done.stdout

        def ours(model, text="text.txt"):
            return json.loads(onward("eval", model, place / text, "--json", "--threads", 1).splitlines()[-1])["loss"]

        def told(name, own, theirs):
            nonlocal worst
            worst = max(worst, abs(own - theirs))
            print(f"{name:24} ours {own:.7f}  transformers {theirs:.7f}  apart {abs(own - theirs):.1e}", flush=True)

        for name, make in MODELS.items():
            for kind, dtype, shards in [("f32", torch.float32, None), ("bf16", torch.bfloat16, "60KB")]:
                torch.manual_seed(3)
                model = make().eval()
                with torch.no_grad():
                    for p in model.parameters():
                        p.add_(0.05 * torch.randn_like(p))
                model = model.to(dtype)
                folder = place / f"{name}-{kind}"
                model.save_pretrained(folder, **({"max_shard_size": shards} if shards else {}))
                shutil.copy(stories / "tokenizer.json", folder)
                theirs = score(lambda tokens: model.float()(tokens).logits, x, y)
                told(f"{name} {kind}", ours(folder), theirs)
        for adapter in [[], ["--adapter", "lora:r=4"]]:
            run = place / "runs" / ("adapter" if adapter else "tuned")
            onward("tune", "--model", stories, "--data", place / "text.txt", "--runs", place / "runs", "--name", run.name, "--steps", 20,
                   "--length", 128, "--quiet", *adapter)
            folder = place / (run.name + "-folder")
            onward("export", run, "--as", "folder", "--out", folder)
            model = t.AutoModelForCausalLM.from_pretrained(folder).eval()
            told(f"{run.name} as folder", ours(run), score(lambda tokens: model(tokens).logits, x, y))
            if adapter:
                import peft

                onward("export", run, "--as", "peft", "--out", place / "peft")
                model = t.AutoModelForCausalLM.from_pretrained(stories)
                model = peft.PeftModel.from_pretrained(model, place / "peft").eval()
                told("adapter as peft", ours(run), score(lambda tokens: model(tokens).logits, x, y))
    sys.exit(worst > 1e-4)


if __name__ == "__main__":
    main()
