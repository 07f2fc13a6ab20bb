"""Text out of a decoder: what it writes behind a prompt, under whatever set-up is active."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from .encode import Tokenizer, pad_id
from .text import end_token, need_language_head, read_prompts


@torch.no_grad()
def generate(
    model: nn.Module,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    max_new_tokens: int = 40,
    temperature: float | None = None,
    top_p: float = 1.0,
    seed: int = 0,
    chat: bool = False,
) -> list[str]:
    """What the model writes behind each prompt, up to its end token: the completions alone, in the prompts' order.

    All prompts run as one batch, padded on the left whatever the tokenizer says, so that `BatchSplit` can give each row
    its adapter. temperature: None takes the likeliest token each time (greedy); a number above 0 draws, among the
    tokens that hold `top_p` of the probability, by `seed`. chat: put each prompt into the tokenizer's chat template.
    Errors: UserError for a model without a language-model head, no prompt or an empty one, too long a text.
    """
    need_language_head(model)
    if isinstance(prompts, str) or not len(prompts):
        raise UserError(f"prompts={prompts!r}: give a list of one or more texts")
    if max_new_tokens < 1 or (temperature is not None and not temperature > 0) or not 0 < top_p <= 1:
        raise UserError("max_new_tokens must be at least 1, temperature None or above 0, top_p above 0 and at most 1")
    rows = _chats(tokenizer, prompts) if chat else read_prompts(tokenizer, prompts)
    inputs = _left(tokenizer, rows, next(model.parameters()).device)
    whole: Any = model
    was, width = model.training, inputs["input_ids"].shape[1]
    limit = getattr(whole.config, "max_position_embeddings", None)
    if limit is not None and width + max_new_tokens > limit:
        raise UserError(
            f"{width} tokens of prompt and {max_new_tokens} new ones exceed this model's {limit}: ask for less"
        )
    drawing = {} if temperature is None else {"temperature": temperature, "top_p": top_p, "top_k": 0}
    ends = _listed(whole.generation_config.eos_token_id) | {end_token(tokenizer)}
    model.eval()
    try:
        with torch.random.fork_rng(devices=[d for d in {inputs["input_ids"].device} if d.type == "cuda"]):
            torch.manual_seed(seed)
            out = whole.generate(
                **inputs, max_new_tokens=max_new_tokens, do_sample=temperature is not None, num_beams=1, use_cache=True,
                repetition_penalty=1.0, eos_token_id=sorted(ends), pad_token_id=pad_id(tokenizer), **drawing,
            )  # fmt: skip
    finally:
        model.train(was)
    return tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)


def _chats(tokenizer: Tokenizer, prompts: Sequence[str]) -> list[list[int]]:
    if not tokenizer.chat_template:
        raise UserError("the tokenizer has no chat template: chat=False, or set tokenizer.chat_template")
    said = [[{"role": "user", "content": prompt}] for prompt in prompts]
    return tokenizer.apply_chat_template(said, add_generation_prompt=True, return_dict=False)


def _left(tokenizer: Tokenizer, rows: list[list[int]], device: torch.device) -> dict[str, Tensor]:
    """Token numbers and mask, (prompts, longest) long, padded on the left; an empty prompt begins as a text does."""
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    rows = [ids or begin for ids in rows]
    if [] in rows:
        raise UserError(f"prompt {rows.index([])} is empty, and the tokenizer has no token to begin with")
    longest, pad = max(map(len, rows)), pad_id(tokenizer)
    ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return {"input_ids": ids, "attention_mask": mask}


def _listed(ids: int | list[int] | None) -> set[int]:
    return set() if ids is None else {ids} if isinstance(ids, int) else set(ids)
