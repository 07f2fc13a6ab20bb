"""Text as a task: every token is a label, and a decoder learns to say the next one."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from .encode import Encoded, Tokenizer, longest_row, pad_id

IGNORED = -100
"""The label of a token that is not learned; `F.cross_entropy` leaves it out."""


@dataclass(frozen=True, repr=False)
class EncodedText(Encoded):
    """Texts as rows of token numbers, one a row or several (packed).

    labels: (rows, longest row) long, the token itself where it is learned, else -100: padding, prompts, and the first
    token of a text, which nothing foretells. positions: of each token in its own text, where rows are packed.
    texts: how many there are; truncated: how many of them were cut.
    """

    texts: int
    positions: list[list[int]] | None

    @property
    def learned(self) -> int:
        """Tokens that are learned: the ones that a perplexity is the mean over."""
        return int((self.labels != IGNORED).sum())

    def inputs(self, rows: list[int]) -> dict[str, Any]:
        """As of `Encoded`; packed rows have position_ids in place of a mask: where they begin anew, a text does.

        Transformers reads them so where there is neither an attention_mask nor a cache, and lets no text see another;
        padding, at position 0, sees itself.
        """
        padded = super().inputs(rows)
        if self.positions is not None:
            width = padded.pop("attention_mask").shape[1]
            places = [self.positions[i] + [0] * (width - len(self.positions[i])) for i in rows]
            padded["position_ids"] = torch.tensor(places)
        return {**padded, "use_cache": False}

    def targets(self, rows: list[int]) -> Tensor:
        """(rows, longest of them) long: what `inputs` of these rows has to foretell."""
        return self.labels[rows, : max(len(self.ids[i]) for i in rows)]

    def __repr__(self) -> str:
        packed = "" if self.positions is None else f" packed into {len(self):,} rows"
        return (
            f"EncodedText({self.texts:,} texts{packed}, {sum(self.lengths):,} tokens, {self.learned:,} to learn, "
            f"{self.truncated:,} cut at {self.max_length})"
        )


def encode_text(
    texts: Sequence[str],
    tokenizer: Tokenizer,
    prompts: Sequence[str] | None = None,
    max_length: int | None = None,
    packed: int = 0,
) -> EncodedText:
    """Tokenise texts for a decoder, each with an end token behind it.

    prompts: what stands in front of each text and is read, not learned; the text goes on where its prompt ends, without
        a space between them. max_length: tokens kept of prompt and text together (None: what the model takes, at
        most LONGEST where it does not say); what is longer loses its end and is counted in `truncated`.
    packed: texts share rows of at most so many tokens, in their order, and do not see each other; 0: one text a row.
    Errors: UserError for an empty text, a prompt that leaves no room for its text, a tokenizer without an end token.
    """
    if not len(texts):
        raise UserError("there are no texts to encode; give one or more")
    end, longest = end_token(tokenizer), longest_row(tokenizer, max_length)
    longest = min(longest, packed or longest)
    if longest < 2 or packed < 0:
        raise UserError(f"max_length={max_length} and packed={packed} leave nothing to learn; give 2 tokens or more")
    fronts = read_prompts(tokenizer, [""] * len(texts) if prompts is None else prompts)
    if len(fronts) != len(texts):
        raise UserError(f"{len(texts)} texts and {len(fronts)} prompts; give one prompt to each text")
    pairs = zip(fronts, texts, strict=True)
    rows, truncated = zip(*[_row(tokenizer, end, longest, i, *pair) for i, pair in enumerate(pairs)], strict=True)
    groups = pack([len(ids) for ids, _ in rows], packed) if packed else [[i] for i in range(len(rows))]
    ids, targets = ([[t for i in group for t in rows[i][part]] for group in groups] for part in (0, 1))
    labels = torch.full((len(ids), max(map(len, ids))), IGNORED)
    for label, target in zip(labels, targets, strict=True):
        label[: len(target)] = torch.tensor(target)
    places = [[p for i in group for p in range(len(rows[i][0]))] for group in groups] if packed else None
    return EncodedText(ids, None, labels, pad_id(tokenizer), longest, sum(truncated), len(texts), places)


def _row(tokenizer: Tokenizer, end: int, longest: int, i: int, front: list[int], text: str) -> tuple[tuple, bool]:
    """((token numbers, labels) of prompt and text, whether it was cut). i: which it is, for an error."""
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"text {i} is {text!r}: there is nothing to learn; leave it out")
    if len(front) >= longest:
        raise UserError(
            f"prompt {i} has {len(front)} tokens, which leaves nothing of its text to learn within {longest}; "
            "give a larger max_length, or a shorter prompt"
        )
    ids = [*front, *tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], end]
    known = max(1, len(front))  # nothing foretells the first
    return (ids[:longest], ([IGNORED] * known + ids[known:])[:longest]), len(ids) > longest


def pack(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Texts of these lengths into rows of at most `size` tokens, in their order: the texts' numbers of each row."""
    rows: list[list[int]] = []
    room = 0
    for i, length in enumerate(lengths):
        if length > room:
            rows.append([])
            room = size
        rows[-1].append(i)
        room -= length
    return rows


def end_token(tokenizer: Tokenizer) -> int:
    """The number of the token that ends a text; UserError where the tokenizer has none."""
    if tokenizer.eos_token_id is None:
        raise UserError("the tokenizer has no end token, so no text could end: set tokenizer.eos_token")
    return tokenizer.eos_token_id


def read_prompts(tokenizer: Tokenizer, prompts: Sequence[str]) -> list[list[int]]:
    """Prompts as token numbers, begun as the tokenizer begins a text, and without the end that some put behind it."""
    rows: Any = tokenizer(list(prompts), padding=False, return_attention_mask=False, verbose=False)["input_ids"]
    return [ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids for ids in rows]


def need_language_head(model: nn.Module) -> None:
    """UserError for a model that does not foretell the next token."""
    whole: Any = model
    causal = {module.is_causal for module in model.modules() if hasattr(module, "is_causal")}  # said of most attention
    if causal == {False} or getattr(whole.config, "is_encoder_decoder", False):
        raise UserError(f"{type(model).__name__} is no decoder: it sees the tokens that it would have to foretell")
    if whole.get_output_embeddings() is None:
        raise UserError(f'{type(model).__name__} has no language-model head: load_base(name, head="causal")')


def check_text(model: nn.Module, data: EncodedText) -> None:
    """UserError for a model that does not foretell tokens, or that cannot tell packed texts apart."""
    need_language_head(model)
    if data.positions is not None and not reads_packed(model):
        raise UserError(f"{type(model).__name__}, as it is set up, does not keep packed texts apart: packed=0")


@torch.no_grad()
def reads_packed(model: nn.Module) -> bool:
    """Tried: does a text behind another one in its row come out as by itself?

    BLOOM takes no position_ids, OPT's and Falcon's masks ignore them, and a soft prompt stands before the first alone.
    """
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return False
    was, device = model.training, next(model.parameters()).device
    ids, places = torch.tensor([[1, 2, 3, 4]], device=device), torch.tensor([[0, 1, 0, 1]], device=device)
    both = model.eval()(input_ids=ids, position_ids=places, use_cache=False).logits[:, 2:]
    alone = model(input_ids=ids[:, 2:], position_ids=places[:, 2:], use_cache=False).logits
    model.train(was)
    return bool((both - alone).norm() < 0.01 * alone.norm())
