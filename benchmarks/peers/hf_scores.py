"""Label scoring by transformers: the log-likelihood of every choice after every prompt, batched.

Settings: those of `hf_model`, and batch.
Tuned: (prompt, choice) pairs sorted by length and padded on the left, logits only where a choice is read
(`logits_to_keep`), no cache, inference mode. Every pair is read as a whole, as evaluation harnesses do.
"""

from __future__ import annotations

from typing import Any

import hf_model
import measure
import torch


@torch.inference_mode()
def score(model: Any, rows: list[dict[str, Any]], s: dict[str, Any]) -> list[list[float]]:
    """Scores (rows, choices) in nats."""
    size = s["batch"]
    scores = [[0.0] * len(row["choices"]) for row in rows]
    pairs = [(i, c) for i, row in enumerate(rows) for c in range(len(row["choices"]))]
    pairs.sort(key=lambda pair: len(rows[pair[0]]["ids"]) + len(rows[pair[0]]["choices"][pair[1]]))
    for at in range(0, len(pairs), size):
        some = pairs[at : at + size]
        texts = [rows[i]["ids"] + rows[i]["choices"][c] for i, c in some]
        longest, most = max(map(len, texts)), max(len(rows[i]["choices"][c]) for i, c in some)
        ids = torch.tensor([[0] * (longest - len(text)) + text for text in texts])
        mask = torch.tensor([[0] * (longest - len(text)) + [1] * len(text) for text in texts])
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        logits = model(
            input_ids=ids, attention_mask=mask, position_ids=places, use_cache=False, logits_to_keep=most + 1
        ).logits.float()
        likely = logits.log_softmax(-1)[:, :-1].gather(2, ids[:, -most:, None])[..., 0]
        for row, (i, c) in enumerate(some):
            scores[i][c] = float(likely[row, most - len(rows[i]["choices"][c]) :].double().sum())
    return scores


def warm(model: Any, s: dict[str, Any]) -> None:
    score(model, measure.read_rows(s["data"], 0, s["warmup_rows"]), s)


if __name__ == "__main__":
    hf_model.run("rows", score, len, warm)
