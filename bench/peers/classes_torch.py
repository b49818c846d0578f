"""Adam by back-propagation on texts that have a class each, for `bench/language.md`: the net, rows, batches and schedule of `bench/classes.py`.

    python bench/peers/classes_torch.py MODEL TRAIN.tsv TEST.tsv --steps 315 --rate 1e-4 --seed 1            # all weights
    python bench/peers/classes_torch.py MODEL TRAIN.tsv TEST.tsv --steps 315 --rate 1e-3 --head              # a linear probe
    python bench/peers/classes_torch.py MODEL TRAIN.tsv TEST.tsv --steps 4096 --rate 1e-4 --blocks 1         # the top block

MODEL is a folder with a BERT encoder; texts are pooled by the mean over tokens, as sentence-transformers does, a linear map that begins at 0 tells the classes.
Without --dropout nothing is dropped, as in ours. One line of JSON: accuracy, loss, seconds.
"""

import argparse
import json
import math
import pathlib
import time

import torch
import torch.nn.functional as F
import transformers


def rows_of(path):
    lines = [line.rsplit("\t", 1) for line in pathlib.Path(path).read_text().splitlines()[1:]]
    return [text for text, _ in lines], torch.tensor([int(label) for _, label in lines])


class Net(torch.nn.Module):
    def __init__(self, folder, dropout):
        super().__init__()
        config = transformers.AutoConfig.from_pretrained(folder)
        if not dropout:
            config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
        self.encoder = transformers.AutoModel.from_pretrained(folder, config=config, add_pooling_layer=False)
        self.head = torch.nn.Linear(config.hidden_size, 2)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)

    def embeddings(self, batch):
        mask = batch["attention_mask"][..., None]
        return (self.encoder(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)

    def forward(self, batch):
        return self.head(self.embeddings(batch))


def main():
    args = argparse.ArgumentParser()
    args.add_argument("model", type=pathlib.Path)
    args.add_argument("train", type=pathlib.Path)
    args.add_argument("test", type=pathlib.Path)
    args.add_argument("--steps", type=int, default=315)
    args.add_argument("--batch", type=int, default=16)
    args.add_argument("--rate", type=float, default=1e-4)
    args.add_argument("--head-rate", type=float, default=1.0, help="the head's rate over that of all")
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--head", action="store_true")
    args.add_argument("--blocks", type=int, help="so many blocks nearest to the answer learn, with the head")
    args.add_argument("--dropout", action="store_true")
    a = args.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(a.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(a.model)
    net = Net(a.model, a.dropout)
    blocks = net.encoder.config.num_hidden_layers
    learning = 0 if a.head else a.blocks if a.blocks is not None else blocks
    for name, p in net.encoder.named_parameters():
        block = int(name.split(".")[2]) if name.startswith("encoder.layer.") else -1
        p.requires_grad = learning == blocks or block >= blocks - learning and block >= 0
    parts = [{"params": [p for p in net.encoder.parameters() if p.requires_grad], "by": 1.0},
             {"params": list(net.head.parameters()), "by": a.head_rate}]
    adam = torch.optim.Adam([part for part in parts if part["params"]], lr=a.rate)

    def batch_of(texts):
        return tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")

    (texts, labels), (test, wanted) = rows_of(a.train), rows_of(a.test)
    net.train()
    began, order = time.time(), []
    for step in range(a.steps):
        if len(order) < a.batch:
            order += torch.randperm(len(texts)).tolist()
        rows, order = order[: a.batch], order[a.batch :]
        share = (step + 1) / a.steps
        rate = a.rate * min(1, (step + 1) / (0.1 * a.steps)) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share)))
        for group in adam.param_groups:
            group["lr"] = rate * group["by"]
        adam.zero_grad()
        F.cross_entropy(net(batch_of([texts[row] for row in rows])), labels[rows]).backward()
        adam.step()
    seconds = time.time() - began
    net.eval()
    with torch.no_grad():
        logits = torch.cat([net(batch_of(test[i : i + 32])) for i in range(0, len(test), 32)])
    right = (logits.argmax(1) == wanted).float().mean().item()
    print(json.dumps({"blocks": learning, "steps": a.steps, "rate": a.rate, "seed": a.seed, "accuracy": round(100 * right, 2),
                      "loss": F.cross_entropy(logits, wanted).item(), "seconds": round(seconds, 1)}), flush=True)


if __name__ == "__main__":
    main()
