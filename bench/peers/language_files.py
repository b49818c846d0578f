"""Small random models of each kind that is read, written by transformers: their loss on a text, here and there; and tuned ones, handed back.

    python bench/peers/language_files.py DATA [--binary target/release/onward] [--encoder DIR]

DATA has llm/stories260K (whose tokenizer all of them get) and text/. One line a model: our loss, transformers', and how far they are apart; of encoders the largest distance of what is
answered to a text, and of the encoder in DIR; then a tuned model as a folder and as a PEFT adapter. Ends with 1 if a distance is above 1e-4 (of encoders 1e-5).
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
from tokenizers import Tokenizer

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
BERT = dict(vocab_size=512, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=512)
ENCODERS = {
    "bert": lambda: t.BertModel(t.BertConfig(**BERT)),
    "bert-classifier": lambda: t.BertForSequenceClassification(t.BertConfig(**BERT, num_labels=3)),
}


@torch.no_grad()
def embedded(model, tokens):
    """What an encoder answers to the tokens of each text, alone: logits, or the mean over tokens."""
    each = [model(input_ids=torch.tensor([own])) for own in tokens]
    return torch.cat([own.logits if hasattr(own, "logits") else own.last_hidden_state.mean(1) for own in each])


def moved(make, dtype):
    """A model with all of its weights moved, so that norms and biases are not what they begin with."""
    torch.manual_seed(3)
    model = make().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return model.to(dtype)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("data", type=pathlib.Path)
    args.add_argument("--binary", default="target/release/onward")
    args.add_argument("--encoder", type=pathlib.Path)
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
                model = moved(make, dtype)
                folder = place / f"{name}-{kind}"
                model.save_pretrained(folder, **({"max_shard_size": shards} if shards else {}))
                shutil.copy(stories / "tokenizer.json", folder)
                theirs = score(lambda tokens: model.float()(tokens).logits, x, y)
                told(f"{name} {kind}", ours(folder), theirs)
        lines = [line for line in text.splitlines() if line.strip()][:200]
        (place / "lines.txt").write_text("\n".join(lines) + "\n")

        def encoder(name, folder, model):
            nonlocal worst
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            tokenizer.no_padding()
            theirs = embedded(model.float().eval(), [own.ids for own in tokenizer.encode_batch(lines)])
            own = onward("predict", folder, place / "lines.txt", "--json", "--threads", 1)
            own = torch.tensor([json.loads(line)["outputs"] for line in own.splitlines()])
            apart = (own - theirs).abs().max().item()
            worst = max(worst, 10 * apart)
            print(f"{name:24} {len(lines)} texts, {theirs.shape[1]} numbers each: apart {apart:.1e} at most", flush=True)

        for name, make in ENCODERS.items():
            for kind, dtype in [("f32", torch.float32), ("bf16", torch.bfloat16)]:
                model = moved(make, dtype)
                folder = place / f"{name}-{kind}"
                model.save_pretrained(folder)
                shutil.copy(stories / "tokenizer.json", folder)
                encoder(f"{name} {kind}", folder, model)
        if a.encoder:
            encoder(a.encoder.name, a.encoder, t.AutoModel.from_pretrained(a.encoder))
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
