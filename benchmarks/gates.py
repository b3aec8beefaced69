"""Exactness before speed: what rung computes against plain transformers + PEFT, which reads row by row.

Same rows, same weights, A and a B that is not zero; nothing is padded, packed or shared on the reference's
side. A table is not written when its gate fails. Errors are relative; gradients are taken all together
(Frobenius norm).
- fp32: loss and gradients within 1e-5 of the reference's in fp64. (In fp32 the reference itself is up to 3e-5
  away from that, so two programs in fp32 cannot be compared more finely.)
- bf16: loss within 2e-2. The reference's own bf16 gradients are about 5e-2 from those in fp64 (rounding, on
  this base), so ours may be 2e-2 from the fp64 gradients, or 1.5 times as far as the reference in bf16 is.
- a curve of losses in fp32, within 1e-4.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from common import BASE, LORA, Runner
from ours import Steps, attach, open_base, rendered, trainer
from peers import measure
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from rung.records import Rendered

BOUNDS = {"fp32": 1e-5, "bf16": 2e-2}
SLACK = 1.5  # bf16: our distance from the fp32 gradients over that of the reference in bf16
CURVE_BOUND = 1e-4
SCORE_BOUND = 1e-4  # of a log-likelihood in nats, relative where it is above 1
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32, "fp64": torch.float64}
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
NO_CLIP = 1e30
Named = dict[str, Tensor]


def passed(gate: dict[str, Any]) -> dict[str, Any]:
    """Print a gate and hand it on. Stops where it failed: then no table may be written."""
    print("gate:", {key: value for key, value in gate.items() if key != "losses"}, flush=True)
    if not gate["passed"]:
        raise SystemExit("the exactness gate failed: no table is written")
    return gate


def gradients(
    model_folder: str, data: str, dtypes: Sequence[str], rows: int, **method: Any
) -> dict[str, Any]:
    """Loss and gradients of one step of ours against the reference, in each number format."""
    found: dict[str, Any] = {"what": "loss and gradients of one step", "rows": rows, "passed": True}
    for dtype in dtypes:
        s = {**LORA, **method, "dtype": dtype, "base": BASE, "model": model_folder}
        some = rendered(measure.read_rows(data, 0, rows))
        loss, named, start = _our_step(some, s)
        _, theirs = _their_step(some, s, start)
        exact_loss, exact = _their_step(some, {**s, "dtype": "fp64"}, start)
        own = _relative(theirs, exact)
        bound = max(BOUNDS[dtype], SLACK * own if dtype == "bf16" else 0.0)
        error = _relative(named, exact)
        off = abs(loss - exact_loss) / abs(exact_loss)
        found[dtype] = {"loss": off, "gradients": error, "reference's own": own, "bound": bound}
        found["passed"] &= off <= BOUNDS[dtype] and error <= bound
    return found


def curve(
    model_folder: str, data: str, rows: int, steps: int, epochs: int = 1, **method: Any
) -> dict[str, Any]:
    """Losses of `steps` steps an epoch in fp32 against a plain loop with the same rows, AdamW and rates."""
    s = {**LORA, **method, "dtype": "fp32", "base": BASE, "model": model_folder, "epochs": epochs}
    some = rendered(measure.read_rows(data, 0, rows))
    base = open_base(s)
    attached, listener, rates = attach(base, s), Steps(), list[float]()
    start = attached.state()
    run = trainer(base, attached, some, s, steps, listener)
    run.optimizer.register_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))
    run.run()
    model = _reference(s, start)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0)
    losses = []
    for step, rate in zip(run.plan, rates, strict=True):
        losses.append(_backward(model, [some[i] for i in step.rows]))
        torch.nn.utils.clip_grad_norm_(trained, run.settings.max_grad_norm)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
    off = max(abs(a - b) / abs(b) for a, b in zip(listener.losses, losses, strict=True))
    return {
        "what": f"losses of {len(losses)} steps",
        "rows": rows,
        "worst": off,
        "bound": CURVE_BOUND,
        "losses": {"rung": listener.losses, "reference": losses},
        "passed": off <= CURVE_BOUND,
    }


def outputs(mine: Runner, theirs: Runner) -> tuple[Any, Any]:
    """What two runners put out on the same work."""
    both = []
    for runner in (mine, theirs):
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            Runner(runner.name, runner.script, {**runner.settings, "outputs": file.name}, runner.venv).run()
            both.append(json.loads(Path(file.name).read_text()))
    return both[0], both[1]


def scores(mine: Runner, theirs: Runner) -> dict[str, Any]:
    """Log-likelihoods of two runners."""
    a, b = (torch.tensor(one, dtype=torch.float64) for one in outputs(mine, theirs))
    off = float(((a - b).abs() / b.abs().clamp(min=1.0)).max())
    return {
        "what": "label scores in fp32",
        "rows": len(a),
        "worst": off,
        "bound": SCORE_BOUND,
        "same_choice": float((a.argmax(1) == b.argmax(1)).double().mean()),
        "passed": off <= SCORE_BOUND,
    }


def tokens(mine: Runner, theirs: Runner) -> dict[str, Any]:
    """Generated tokens of two runners: all must be the same."""
    a, b = outputs(mine, theirs)
    same = sum(x == y for x, y in zip(a, b, strict=True))
    return {"what": "tokens written in fp32", "rows": len(a), "same": same, "passed": same == len(a)}


def _our_step(rows: list[Rendered], s: dict[str, Any]) -> tuple[float, Named, Named]:
    """Mean loss, gradients by name, and the state they were taken at, from one step of the trainer.

    The gradients are taken just before the optimizer uses them, put in the parameters' place and read out
    by name as a state: this works however the parameters are kept.
    """
    base = open_base(s)
    attached, listener = attach(base, s), Steps()
    start = attached.state()
    if s["method"] == "lora":
        generator = torch.Generator().manual_seed(1)
        start = {
            name: torch.randn(t.shape, generator=generator).to(t) * 0.02 if "lora_B" in name else t
            for name, t in start.items()
        }
        attached.load(start)
    run = trainer(base, attached, rows, {**s, "train": {"max_grad_norm": NO_CLIP}}, 1, listener)
    grads: list[Tensor] = []
    run.optimizer.register_step_pre_hook(
        lambda o, *_: grads.extend(p.grad.clone() for g in o.param_groups for p in g["params"])
    )
    run.run()
    parameters = [p for group in run.optimizer.param_groups for p in group["params"]]
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.data.copy_(grad)
    attached.updated()
    return listener.losses[0], attached.state(), start


def _their_step(rows: list[Rendered], s: dict[str, Any], start: Named) -> tuple[float, Named]:
    model = _reference(s, start)
    loss = _backward(model, rows)
    named = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return loss, {_our_name(name): grad for name, grad in named.items()}


def _reference(s: dict[str, Any], start: Named) -> Any:
    """Plain transformers, with PEFT's LoRA if the method is LoRA, at the state `start`."""
    model = AutoModelForCausalLM.from_pretrained(
        s["model"], dtype=DTYPES[s["dtype"]], attn_implementation="sdpa", local_files_only=True
    )
    if s["method"] == "full":
        return model
    layers = model.config.num_hidden_layers
    top = s.get("top_layers")
    config = LoraConfig(
        r=s["rank"],
        lora_alpha=s["alpha"],
        target_modules=LINEAR,
        layers_to_transform=list(range(layers - top, layers)) if top else None,
        layers_pattern="layers" if top else None,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    own = {_our_name(name): p for name, p in adapted.named_parameters() if p.requires_grad}
    if own.keys() != start.keys():
        raise SystemExit("the reference adapts other layers than rung")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(start[name])
    return adapted


def _backward(model: Any, rows: list[Rendered]) -> float:
    """Mean cross-entropy over the target tokens of `rows`, each read alone; gradients are left in place."""
    targets = sum(sum(row.mask[1:]) for row in rows)
    total = 0.0
    for row in rows:
        ids = torch.tensor([row.ids])
        labels = ids.masked_fill(~torch.tensor([row.mask]), -100)[0, 1:]
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = cross_entropy(logits, labels, ignore_index=-100, reduction="sum") / targets
        loss.backward()
        total += float(loss.detach())
    return total


def _our_name(name: str) -> str:
    return name.removeprefix("base_model.model.").replace(".default.", ".")


def _relative(ours: Named, theirs: Named) -> float:
    """Error of all gradients together, relative to the reference's norm."""
    if ours.keys() != theirs.keys():
        raise SystemExit(f"gradients of different tensors: {sorted(ours.keys() ^ theirs.keys())[:3]}")
    off = sum(float((ours[name].double() - theirs[name].double()).square().sum()) for name in theirs)
    norm = sum(float(theirs[name].double().square().sum()) for name in theirs)
    return (off / norm) ** 0.5
