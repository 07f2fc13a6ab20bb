"""From texts to batches: tokenised once, padded no further than each batch needs."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..errors import UserError
from .core import Rows, shuffled

Tokenizer: TypeAlias = Any  # one of transformers', which is not imported for its name
UNSAID, LONGEST = 100_000, 512
"""Some tokenizers say 1e30 in place of a length: this is taken then."""
WINDOW = 50  # batches among which rows are sorted by length


@dataclass(frozen=True)
class Encoded:
    """A split as token numbers, not padded. labels: (rows,) long, or float32 for a regression."""

    ids: list[list[int]]
    types: list[list[int]] | None
    labels: Tensor
    pad_id: int
    max_length: int
    truncated: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row, special tokens included."""
        return [len(row) for row in self.ids]

    def inputs(self, rows: list[int]) -> dict[str, Any]:
        """What the model takes for these rows, padded on the right to the longest of them."""
        lengths = [len(self.ids[i]) for i in rows]

        def block(values: list[list[int]], fill: int = 0) -> Tensor:  # (rows, longest)
            return torch.tensor([value + [fill] * (max(lengths) - len(value)) for value in values])

        ids, mask = block([self.ids[i] for i in rows], self.pad_id), block([[1] * length for length in lengths])
        types = {} if self.types is None else {"token_type_ids": block([self.types[i] for i in rows])}
        return {"input_ids": ids, "attention_mask": mask, **types}

    def targets(self, rows: list[int]) -> Tensor:
        """The labels of these rows, as the loss takes them."""
        return self.labels[rows]

    def __repr__(self) -> str:
        return (
            f"Encoded({len(self):,} rows, {sum(self.lengths) / max(len(self), 1):.1f} tokens on average, "
            f"longest {max(self.lengths, default=0)}, {self.truncated:,} cut at {self.max_length})"
        )


def encode(split: Rows, tokenizer: Tokenizer, max_length: int | None = None) -> Encoded:
    """Tokenise a split once. Pairs become one row with token types, where the tokenizer has them.

    max_length: tokens kept of a row, special tokens included; longer rows are cut (of a pair the longer text first) and
        counted in `truncated`. None: what the model takes, at most LONGEST where it does not say.
    Errors: UserError for a max_length that the model cannot take, or that leaves no room for a token.
    """
    longest = longest_row(tokenizer, max_length)
    special = tokenizer.num_special_tokens_to_add(pair=split.pairs is not None)
    if longest <= special:
        raise UserError(
            f"max_length={max_length} leaves no room beside {special} special tokens; give {special + 1} or more"
        )
    types = "token_type_ids" in tokenizer.model_input_names
    out = _tokens(split, tokenizer, max_length=longest, truncation=True, return_token_type_ids=types)
    full = split.take(i for i, row in enumerate(out["input_ids"]) if len(row) == longest)
    truncated = sum(len(row) > longest for row in _tokens(full, tokenizer)["input_ids"]) if len(full) else 0
    dtype = torch.float32 if any(isinstance(label, float) for label in split.labels[:1]) else torch.long
    labels = torch.tensor(split.labels, dtype=dtype)
    return Encoded(out["input_ids"], out.get("token_type_ids"), labels, pad_id(tokenizer), longest, truncated)


def _tokens(split: Rows, tokenizer: Tokenizer, **more: Any) -> Any:
    pairs = None if split.pairs is None else list(split.pairs)
    return tokenizer(list(split.texts), pairs, padding=False, return_attention_mask=False, verbose=False, **more)


def longest_row(tokenizer: Tokenizer, max_length: int | None, most: int = UNSAID) -> int:
    """How many tokens a row may have: what is asked for (UserError if the model takes fewer), else at most `most`."""
    limit = tokenizer.model_max_length if tokenizer.model_max_length < UNSAID else None
    if max_length is None:
        return min(limit or LONGEST, most)
    if limit is not None and max_length > limit:
        raise UserError(f"max_length={max_length} is more than the model takes; give at most {limit}")
    return max_length


def pad_id(tokenizer: Tokenizer) -> int:
    """The token that fills rows up; attention never sees it."""
    return next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)


def batches(
    encoded: Encoded, batch_size: int = 32, shuffle: bool = False, seed: int = 0, epoch: int = 0
) -> Iterator[tuple[dict[str, Any], Tensor, Tensor]]:
    """Yield (inputs, labels, rows) until every row has come once.

    inputs: input_ids, attention_mask and, where there are types, token_type_ids: each (batch, tokens) long, padded on
        the right to the longest row of the batch. labels: (batch,), or (batch, tokens) of texts. rows: (batch,)
        row numbers.
    shuffle: rows are shuffled, cut into windows of 50 batches, sorted by length within a window, and the batches
        shuffled: little padding, the same for the same (seed, epoch). Without it: longest rows first.
    """
    if batch_size < 1:
        raise UserError(f"batch_size={batch_size}; give 1 or more")
    lengths, draw = encoded.lengths, random.Random(f"{seed} {epoch}")
    rows = list(range(len(encoded)))
    rows = shuffled(rows, draw) if shuffle else rows
    window = WINDOW * batch_size if shuffle else max(len(rows), 1)
    cuts = []
    for start in range(0, len(rows), window):
        part = sorted(rows[start : start + window], key=lambda i: -lengths[i])
        cuts += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    for cut in shuffled(cuts, draw) if shuffle else cuts:
        yield encoded.inputs(cut), encoded.targets(cut), torch.tensor(cut)
