"""A frozen base in 8 or 4 bits, with adapters in float beside it: QLoRA (Dettmers et al. 2023) and LLM.int8() (2022).

The linear maps of the layers are packed by bitsandbytes, on a CPU too; embeddings, norms, pooler and heads stay as they
are. Packed weights are frozen for good, and a hook does not ask how the map behind it computes: so every method that
trains beside the base works, and merging into it is refused. `matrix` and `write` reach the weights of a frozen map
however its class keeps them: nn.Linear, GPT-2's Conv1D, quantized.
"""

import logging
from types import ModuleType

import torch
from torch import nn

from .errors import UserError, suggest
from .sites import find_layers

KINDS = ("int8", "4bit")


def quantize(model: nn.Module, kind: str) -> nn.Module:
    """Pack the linear maps of the model's layers in place: "int8", a scale a row, or "4bit", NF4 with packed scales.

    Transformers' own way (`BitsAndBytesConfig`) does the same while it loads, but `transformers.Trainer` then refuses
    to train what is not PEFT's. Errors: UserError for another kind, a model without nn.Linear in its layers, one that
    is quantized already, and without bitsandbytes.
    """
    library = load_library(kind)
    layers = [model.get_submodule(path) for path in find_layers(model).values()]
    if any(quantized(module) for module in model.modules()):
        raise UserError("this model is quantized already; load it again in full precision first")
    linears = [(layer, name) for layer in layers for name, m in layer.named_modules() if type(m) is nn.Linear]
    if not linears:
        raise UserError(f'a "{model.config.model_type}" has no nn.Linear in its layers that could be quantized')
    for layer, name in linears:
        if others := sharers(model, layer.get_submodule(name)):
            raise UserError(f'"{name}" shares its weight with "{others[0]}": untie the two before quantizing')
    for layer, name in linears:
        parent, _, last = name.rpartition(".")
        setattr(layer.get_submodule(parent), last, _pack(library, layer.get_submodule(name), kind))
    return model


def load_library(kind: str) -> ModuleType:
    """bitsandbytes; UserError for an unknown kind, and where it is not installed."""
    if kind not in KINDS:
        raise UserError(f'unknown quantization "{kind}"{suggest(kind, KINDS)}; known: {", ".join(KINDS)}')
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it reports every cast to float16
    try:
        import bitsandbytes
    except ImportError:
        raise UserError(
            f'quantize="{kind}" needs bitsandbytes, which is not installed: pip install bitsandbytes'
        ) from None
    return bitsandbytes


def _pack(library: ModuleType, linear: nn.Linear, kind: str) -> nn.Module:
    shape = linear.in_features, linear.out_features, linear.bias is not None
    if kind == "4bit":
        new = library.nn.Linear4bit(*shape, quant_type="nf4", device="meta")
        new.weight = library.nn.Params4bit(
            linear.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True
        )
        # on some CPUs bitsandbytes 0.50 repacks the weights for bfloat16 at the first evaluation, and no gradient
        # comes through them any more
        new.support_avx512bf16_for_cpu = False
    else:
        new = library.nn.Linear8bitLt(*shape, has_fp16_weights=False, device="meta")
        new.weight = library.nn.Int8Params(linear.weight.data, requires_grad=False, has_fp16_weights=False)
    new.bias = linear.bias
    return new.to(linear.weight.device).train(linear.training).requires_grad_(False)


def quantized(module: nn.Module) -> bool:
    """Is this a linear map of bitsandbytes, int8 or 4-bit?"""
    return type(module).__name__ in ("Linear8bitLt", "Linear4bit")


def sharers(model: nn.Module, module: nn.Module, key: str = "weight") -> list[str]:
    """The other modules that use a module's weight too, as input embeddings do that are tied to the output's."""
    tensor = getattr(module, key)
    others = ((name, other) for name, other in model.named_modules() if other is not module)
    return [n for n, m in others if any(p.data_ptr() == tensor.data_ptr() != 0 for p in m.parameters(recurse=False))]


def matrix(module: nn.Module) -> torch.Tensor:
    """W as (outputs, inputs), as y = W x + b has it; a quantized one is unpacked into a new tensor."""
    if type(module).__name__ == "Linear4bit":
        from bitsandbytes.functional import dequantize_4bit

        return dequantize_4bit(module.weight.data, module.weight.quant_state)
    if type(module).__name__ == "Linear8bitLt":
        from bitsandbytes.functional import int8_vectorwise_dequant

        state = module.state
        packed, scale = (module.weight.CB, module.weight.SCB) if module.weight.CB is not None else (state.CB, state.SCB)
        return int8_vectorwise_dequant(packed, scale)
    if getattr(module, "weight", None) is None or module.weight.ndim != 2:
        raise UserError(f"a {type(module).__name__} has no weight matrix")
    return module.weight.T if hasattr(module, "nf") else module.weight


def write(module: nn.Module, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    """Put W (outputs, inputs; or a norm's scale) and b into the module, in its own precision."""
    with torch.no_grad():
        module.weight.copy_(weight.T if hasattr(module, "nf") else weight)
        if bias is not None:
            module.bias.copy_(bias)


def memory_mb(model: nn.Module) -> float:
    """What the model's weights take in memory, in 10^6 bytes: parameters, buffers and the scales of packed weights."""
    tensors = {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}
    for module in model.modules():
        if quantized(module):
            state = getattr(module.weight, "quant_state", None)
            scales = [getattr(module.state, "SCB", None)] if state is None else [state.absmax, state.code]
            if state is not None and state.nested:
                scales += [state.state2.absmax, state.state2.code]
            tensors |= {t.data_ptr(): t for t in scales if t is not None}
    return sum(t.numel() * t.element_size() for t in tensors.values()) / 1e6
