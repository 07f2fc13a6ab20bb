"""What 11_k_adapter looks at: the model's states, a layer of a K-Adapter by itself, a sentence with padding."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase as Tokenizer

from ...adapter import Adapter
from ...adapters import Adapters
from ...compose import Block
from ...methods.kadapter import Encoder


@torch.no_grad()
def states(adapters: Adapters, setup: str | Block | None, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """The output of every layer, (batch, tokens, width) each, with this setup at work; the model in eval mode."""
    adapters.model.eval()
    with adapters.use(setup):
        return adapters.model(**inputs, output_hidden_states=True).hidden_states[1:]


def alone(
    adapter: Adapter, layer: int, attend: Callable[[Tensor, Tensor], Tensor] | None = None, mask: Tensor | None = None
) -> Callable[[Tensor], Tensor]:
    """h -> h + up(encoders(down(h))): what a K-Adapter has at a layer of the model, without its bookkeeping.

    attend: (scores (tokens, tokens), mask (tokens,)) -> weights, in the place of the package's attention without mask.
    """
    module = adapter.at[f"layers.{layer}.block"][0]

    def run(h: Tensor) -> Tensor:
        k = module.down(h)
        for encoder in module.encoders:
            k = encoder(k, None) if attend is None else _encode(encoder, k, attend, mask)
        return h + module.up(k)

    return run


def _encode(encoder: Encoder, h: Tensor, attend: Callable, mask: Tensor | None) -> Tensor:
    """The encoder's forward pass with weights of the learner's. h: (1, tokens, width)."""
    q, k, v = encoder.qkv(h).unflatten(-1, (3, encoder.heads, -1)).permute(2, 0, 3, 1, 4)  # (1, heads, tokens, ...)
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5  # (1, heads, tokens, tokens)
    weights = torch.stack([attend(head, mask) for head in scores[0]])
    attended = (weights @ v).transpose(1, 2).flatten(2)
    h = encoder.norms[0](h + encoder.dense(attended))
    return encoder.norms[1](h + encoder.outer(F.gelu(encoder.inner(h))))


def padded(sentence: dict, tokenizer: Tokenizer, extra: int, device: torch.device | str) -> dict[str, Tensor]:
    """One sentence, as the tokenizer gave it, with `extra` tokens of padding behind: a batch of one."""
    length = len(sentence["input_ids"]) + extra
    filled = tokenizer.pad(dict(sentence), padding="max_length", max_length=length)
    return {key: torch.as_tensor(value)[None].to(device) for key, value in filled.items()}
