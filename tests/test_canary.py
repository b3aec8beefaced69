"""Names of torch and transformers that rung uses and that they may change without notice.

When one vanishes after an update, this says which and what rung does with it. The second test finds private
names in the source that are not on the list.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest
import torch

from families import model_of

SOURCE = Path(__file__).parent.parent / "src" / "rung"
NAMES = {
    "re._parser.parse": "which patterns of a schema can take for ever",
    "torch.ops.aten._scaled_dot_product_flash_attention_for_cpu": "attention and its log-sum-exp",
    "torch.ops.aten.silu_backward.grad_input": "the gradient of silu, written in place",
    "torch.ops.aten.gelu_backward.grad_input": "the gradient of gelu, written in place",
    "torch.Tensor._version": "counts the writes into a weight",
    "torch._foreach_div_": "scales all gradients at once",
    "torch._foreach_norm": "the norms of all gradients at once",
    "torch.backends.mkldnn.matmul.fp32_precision": "lets oneDNN multiply fp32 matrices",
    "transformers.PreTrainedConfig._attn_implementation": "tells the plain path from the others",
    "transformers.PreTrainedModel.set_attn_implementation": "puts rung's attention in, and takes it out",
    "transformers.PreTrainedModel.base_model": "the model without its head",
    "transformers.AttentionInterface.register": "makes rung's attention known",
    "transformers.AttentionMaskInterface.register": "makes no mask for rung's attention",
    "transformers.PreTrainedTokenizerFast._encode_plus": "which tokenizers can be read with offsets",
    "transformers.pytorch_utils.Conv1D": "the linear layers of GPT-2",
    "transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES": "which models continue text",
    "transformers.models.auto.modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES": "which models do not",
    "transformers.models.auto.modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES": "which do not",
    "transformers.models.llama.modeling_llama.LlamaDecoderLayer": "a layer of the fused path",
    "transformers.models.mistral.modeling_mistral.MistralDecoderLayer": "a layer of the fused path",
    "transformers.models.qwen2.modeling_qwen2.Qwen2DecoderLayer": "a layer of the fused path",
    "transformers.models.qwen3.modeling_qwen3.Qwen3DecoderLayer": "a layer of the fused path",
    "transformers.models.gemma3.modeling_gemma3.Gemma3DecoderLayer": "a layer of the fused path",
    "transformers.models.gemma3.modeling_gemma3.Gemma3RMSNorm": "a norm whose factors are 1 + w",
    "transformers.models.phi3.modeling_phi3.Phi3DecoderLayer": "a layer of the fused path",
}
PARTS = {  # of a layer of the fused path
    "llama": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"],
    "mistral": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"],
    "qwen2": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"],
    "qwen3": ["self_attn.q_norm.variance_epsilon", "self_attn.k_norm.weight", "self_attn.q_proj"],
    "gemma3_text": ["self_attn.q_norm.eps", "pre_feedforward_layernorm", "post_feedforward_layernorm"],
    "phi3": ["self_attn.qkv_proj", "mlp.gate_up_proj"],
}
COMMON = ["input_layernorm.weight", "post_attention_layernorm.weight", "self_attn.o_proj", "mlp.down_proj"]
COMMON += ["self_attn.head_dim", "self_attn.scaling"]
OURS = {"_encode_plus", "_spans", "_replace", "_tried", "_extract_corpus_statistics"}  # or of other libraries


def found(name: str) -> object:
    """What a dotted name stands for. Raises AttributeError that says which part is not there."""
    parts = name.split(".")
    here: object = import_module(parts[0])
    for at, part in enumerate(parts[1:], start=2):
        try:
            here = getattr(here, part)
        except AttributeError:
            try:
                here = import_module(".".join(parts[:at]))
            except ImportError:
                raise AttributeError(f"{'.'.join(parts[: at - 1])} has no {part!r} any more") from None
    return here


@pytest.mark.parametrize("name", NAMES)
def test_it_is_still_there(name: str) -> None:
    try:
        found(name)
    except AttributeError as gone:
        pytest.fail(f"{gone}. rung needs it: {NAMES[name]}.")


@pytest.mark.parametrize("kind", PARTS)
def test_the_parts_of_a_fused_layer_are_still_there(kind: str) -> None:
    layer = model_of(kind).base_model.layers[0]
    for path in (*COMMON, *PARTS[kind]):
        here = layer
        for part in path.split("."):
            here = getattr(here, part, None)
            assert here is not None, f"a layer of {kind} has no {path!r} any more: the fused path reads it"


def test_the_check_can_fail() -> None:
    with pytest.raises(AttributeError, match=r"torch.ops.aten has no '_gone_for_good' any more"):
        found("torch.ops.aten._gone_for_good")
    with pytest.raises(AttributeError, match=r"transformers.models.llama has no 'nothing' any more"):
        found("transformers.models.llama.nothing.Layer")


def test_no_private_name_is_missing_here() -> None:
    known = {part for name in NAMES for part in name.split(".") if part.startswith("_")}
    unknown = set()
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        for node in ast.walk(tree):
            if (
                not isinstance(node, ast.Attribute)
                or not node.attr.startswith("_")
                or node.attr.startswith("__")
            ):
                continue
            of_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "ctx")
            if not of_self and node.attr not in known | OURS | own:
                unknown.add(f"{path.name}: {node.attr}")
    assert not unknown


def test_there_is_one_attention_for_the_cpu() -> None:
    q = torch.ones(1, 2, 3, 4)
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, q, q, 0.0, False, scale=0.5)
    assert (out.shape, lse.shape) == ((1, 2, 3, 4), (1, 2, 3))
