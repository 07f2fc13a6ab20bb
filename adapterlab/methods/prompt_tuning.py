"""Prompt tuning: Lester et al. 2021, section 2: learned embeddings in front of the text.

The second exception: y' is longer than y, and everything behind it sees a longer text. `last_hidden_state` keeps the
text's own positions, so that a loss over tokens fits; a pooler inside the base model (BERT) sees the prompt's first.
"""

import torch
from torch import nn

from .base import Change, Method

STARTS = ("vocabulary", "normal")


class Prompt(Change):
    """[P; y]. y: (batch, tokens, width), embedded -> (batch, length + tokens, width). length * width parameters."""

    def __init__(self, length: int, width: int, start: str):
        super().__init__()
        self.prompt = nn.Parameter(torch.randn(length, width))
        self.start = start

    def bind(self, frozen: nn.Module, owner, new: bool) -> None:
        if new and self.start == "vocabulary":
            table = frozen.get_input_embeddings().weight.detach()
            rows = torch.randint(len(table), (len(self.prompt),), device=table.device)
            self.prompt.data = table[rows].to(self.prompt.dtype)

    def forward(self, x, y):
        return torch.cat([self.prompt.expand(len(y), -1, -1), y], dim=1)


class PromptTuningConfig(Method):
    """length: of the prompt. start: at the embeddings of random words (section 3.2), or at N(0, 1)."""

    name = "prompt_tuning"
    formula = "[P; y], y = the embedded text"
    paper = "Lester et al. 2021"
    parameters = "L·d"
    fits = ("prompt",)
    blocks = frozenset({"Stack", "BatchSplit"})
    refusal = "prompt tuning lengthens the text and has no output to mix"
    needs = "a model that reads text and takes embeddings in its place"
    length: int = 20
    start: str = "vocabulary"
    sites: tuple[str, ...] = ("prompt",)

    def check(self):
        self.positive("length")
        self.among("start", STARTS)

    def build(self, site):
        return Prompt(self.length, site.width, self.start)
