"""The weight matrix of a frozen linear map, however its class stores it: nn.Linear, GPT-2's Conv1D, quantized."""

import torch
from torch import nn

from .errors import UserError


def quantized(module: nn.Module) -> bool:
    """Is this a linear map of bitsandbytes, int8 or 4-bit?"""
    return type(module).__name__ in ("Linear8bitLt", "Linear4bit")


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
