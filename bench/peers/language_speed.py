"""Language models at work, ours beside llama.cpp and PyTorch: processor seconds a token, of decoding and of forward passes, in turn.

    python language_speed.py MAKE FOLDER --tokenizer TOKENIZER.json   random GPT-2-small and 134 M Llama shapes, in f32 and bf16
    python language_speed.py RUN FOLDER --ours target/release/language [--threads 1] [--rounds 3]

Needs torch and transformers; llama_cpp and gguf where they are there (Llama's shape alone is written as GGUF). Each figure is the difference of two runs of
different lengths, so that loading is not in it; `--wall` counts time on the wall instead of the processor's, for a machine that does nothing else.
"""
import argparse, json, os, resource, shutil, statistics, subprocess, sys, time
from pathlib import Path


def make(folder, tokenizer):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
    torch.manual_seed(0)
    gpt2 = GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=None))
    llama = LlamaForCausalLM(LlamaConfig(vocab_size=32000, hidden_size=768, intermediate_size=2048, num_hidden_layers=12,
        num_attention_heads=12, num_key_value_heads=12, max_position_embeddings=2048, tie_word_embeddings=False, bos_token_id=0, eos_token_id=None))
    for name, model in (("gpt2", gpt2), ("llama", llama)):
        for kind in ("float32", "bfloat16"):
            own = Path(folder) / f"{name}-{kind}"
            model.to(getattr(torch, kind)).save_pretrained(own)
            model.to(torch.float32)
            shutil.copy(tokenizer, own / "tokenizer.json")
            config = json.loads((own / "config.json").read_text())
            config.pop("eos_token_id", None)
            (own / "config.json").write_text(json.dumps(config))
            (own / "generation_config.json").unlink(missing_ok=True)
            if name == "llama":
                gguf_of(own, model.to(getattr(torch, kind)), kind)
                model.to(torch.float32)


def gguf_of(own, model, kind):
    """The same weights as llama.cpp reads them: queries and keys permuted to its order of rotated pairs."""
    try:
        import gguf
    except ImportError:
        return
    import torch
    c = model.config
    w = gguf.GGUFWriter(str(own / "model.gguf"), "llama")
    w.add_context_length(c.max_position_embeddings); w.add_embedding_length(c.hidden_size); w.add_block_count(c.num_hidden_layers)
    w.add_feed_forward_length(c.intermediate_size); w.add_head_count(c.num_attention_heads); w.add_head_count_kv(c.num_key_value_heads)
    w.add_layer_norm_rms_eps(c.rms_norm_eps); w.add_rope_dimension_count(c.hidden_size // c.num_attention_heads); w.add_vocab_size(c.vocab_size)
    w.add_file_type(0 if kind == "float32" else 32)
    w.add_tokenizer_model("llama")
    words = [f"<{i}>".encode() for i in range(c.vocab_size)]
    types = [gguf.TokenType.NORMAL] * c.vocab_size
    words[0], types[0] = b"<unk>", gguf.TokenType.UNKNOWN
    for i in range(256):
        words[3 + i], types[3 + i] = f"<0x{i:02X}>".encode(), gguf.TokenType.BYTE
    w.add_token_list(words); w.add_token_scores([0.0] * c.vocab_size); w.add_token_types(types)
    names = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    parts = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    for name, t in model.state_dict().items():
        to = names.get(name)
        if to is None:
            _, _, block, *part = name.removesuffix(".weight").split(".")
            to = f"blk.{block}.{parts['.'.join(part)]}.weight"
        if "q_proj" in name or "k_proj" in name:
            heads = c.num_attention_heads
            t = t.reshape(heads, 2, t.shape[0] // heads // 2, t.shape[1]).swapaxes(1, 2).reshape(t.shape)
        if kind == "float32" or t.dim() == 1:
            w.add_tensor(to, t.float().numpy())
        else:
            halves = t.contiguous().view(torch.int16).numpy()
            w.add_tensor(to, halves.view("uint8"), raw_dtype=gguf.GGMLQuantizationType.BF16)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()


def peer(which, folder, threads, rows, prompt, tokens):
    """Runs in a process of its own."""
    token = lambda row, i, n: 2 + (i * 7 + row * 5) % (n - 2)
    if which == "llama.cpp":
        import llama_cpp
        from llama_cpp import Llama
        m = Llama(str(Path(folder) / "model.gguf"), n_ctx=1024, n_threads=threads, n_threads_batch=threads, verbose=False)
        m.eval([token(0, i, 32000) for i in range(prompt)])
        for i in range(tokens):
            m.eval([token(0, prompt + i, 32000)])
        return
    import torch
    from transformers import AutoModelForCausalLM
    torch.set_num_threads(threads)
    m = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16 if "bfloat16" in folder else torch.float32).eval()
    x = torch.tensor([[token(r, i, m.config.vocab_size) for i in range(prompt)] for r in range(rows)])
    with torch.inference_mode():
        if which == "torch-forward":
            for _ in range(tokens):
                m(x)
            return
        out = m(x, use_cache=True)
        for _ in range(tokens):
            out = m(out.logits[:, -1].argmax(-1, keepdim=True), past_key_values=out.past_key_values, use_cache=True)


def seconds(command, wall):
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.time() - began if wall else after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(args):
    cases = []
    for name in ("llama-float32", "llama-bfloat16", "gpt2-float32", "gpt2-bfloat16"):
        folder = str(Path(args.folder) / name)
        for rows in (1, 8):
            rivals = ["ours", "torch"] + (["llama.cpp"] if rows == 1 and os.path.exists(folder + "/model.gguf") else [])
            cases.append((f"{name} decode, rows {rows}", folder, rivals, rows, 16, (8, 72), rows))
        cases.append((f"{name} forward, 8 x 128", folder, ["ours-forward", "torch-forward"], 8, 128, (1, 3), 8 * 128))
    for title, folder, rivals, rows, prompt, (short, long), each in cases:
        if args.only and args.only not in title:
            continue
        speeds = {rival: [] for rival in rivals}
        for _ in range(args.rounds):
            for rival in rivals:
                def command(tokens):
                    if rival.startswith("ours"):
                        words = [args.ours, folder, str(args.threads), str(rows), str(prompt), str(tokens)]
                        return words + (["forward"] + (["bf16"] if "bfloat16" in folder else []) if "forward" in rival else [])
                    return [sys.executable, __file__, "PEER", folder, "--which", rival, "--threads", str(args.threads), "--shape", f"{rows},{prompt},{tokens}"]
                took = seconds(command(long), args.wall) - seconds(command(short), args.wall)
                speeds[rival].append((long - short) * each / took)
        middle = {rival: statistics.median(all) for rival, all in speeds.items()}
        print(f"{title}, {args.threads} threads: " + ", ".join(f"{r} {v:.1f}" for r, v in middle.items()), flush=True)


p = argparse.ArgumentParser()
p.add_argument("what", choices=["MAKE", "RUN", "PEER"]); p.add_argument("folder")
p.add_argument("--tokenizer"); p.add_argument("--ours"); p.add_argument("--which"); p.add_argument("--shape"); p.add_argument("--only")
p.add_argument("--threads", type=int, default=1); p.add_argument("--rounds", type=int, default=3); p.add_argument("--wall", action="store_true")
a = p.parse_args()
if a.what == "MAKE":
    make(a.folder, a.tokenizer)
elif a.what == "RUN":
    run(a)
else:
    peer(a.which, a.folder, a.threads, *map(int, a.shape.split(",")))
