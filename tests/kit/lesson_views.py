"""Every view of the workbook, made small: `VIEWS[name]()`; and the rows behind them."""

from functools import cache

import pandas as pd
import torch
from adapted import adapted, rows
from tiny_bert import tiny_bert, tokens
from transformers import BertConfig, BertForQuestionAnswering, BertForSequenceClassification

from adapterlab.adapters import Adapters
from adapterlab.lessons.kit.tree_view import tree_view
from adapterlab.lessons.nb00_start.views import budget
from adapterlab.lessons.nb01_build.views import how_far, where
from adapterlab.lessons.nb02_fine_tune.views import sentence_view
from adapterlab.lessons.nb03_counts.views import budget_view
from adapterlab.lessons.nb04_size.views import size_view
from adapterlab.lessons.nb05_ablation.views import Board
from adapterlab.lessons.nb06_variants.views import variant_view
from adapterlab.lessons.nb07_glue.views import metric_view
from adapterlab.lessons.nb08_questions.views import question_view
from adapterlab.lessons.nb09_methods.views import places_view
from adapterlab.lessons.nb10_lora.views import lora_view
from adapterlab.lessons.nb11_k_adapter import almanac
from adapterlab.lessons.nb11_k_adapter.views import market_view
from adapterlab.lessons.nb12_composition.views import composition_view
from adapterlab.lessons.nb13_sharing.views import serving_view
from adapterlab.lessons.nb14_quantized.views import fit_view
from adapterlab.lessons.nb15_decoder.views import mood_view
from adapterlab.lessons.nb16_choosing.views import choose_view, map_view
from adapterlab.methods import LoRAConfig, PfeifferConfig, houlsby
from adapterlab.models import load_base
from adapterlab.sites import Site
from adapterlab.studies.count import measure
from adapterlab.studies.spans import Toggles
from adapterlab.tasks.answers import HEAD
from adapterlab.tasks.questions import load_questions

LABELS = ("negative", "positive")
SIZES = pd.DataFrame({"size": [8, 8, 64], "accuracy": [80.0, 82.0, 83.0]})
SHARES = pd.DataFrame({"size": [1, 8, 64], "trained": [10, 80, 640], "trained_percent": [0.1, 0.8, 6.4]})
VARIANTS = pd.DataFrame(
    [("plain", 1e-2, 80.0, "live"), ("plain", 1.0, 50.0, "live"),
     ("parallel", 1e-2, 81.0, "recorded"), ("parallel", 1e-2, 83.0, "recorded")],
    columns=["variant", "std", "accuracy", "source"],
)  # fmt: skip
LORA = pd.DataFrame(
    [("query + value", 8, 16, 80.0, 0.5), ("query + value", 8, 16, 82.0, 0.5), ("all linears", 1, 16, 70.0, 0.1)],
    columns=["where", "rank", "alpha", "accuracy", "trained_percent"],
)  # fmt: skip
WRITTEN = pd.DataFrame(
    [(0.0, " a", "<b> dull", 0.1), (0.0, " the", " dud", 0.2), (1.0, " a", " joy", 0.9), (1.0, " the", " bore", 0.4)],
    columns=["weight", "opening", "text", "pleased"],
)  # fmt: skip
SUBLAYERS = {
    f"layers.{i}.{kind}": Site(f"layers.{i}.{kind}", kind, i, "m", "m", 12, 12)
    for i in range(2)
    for kind in ("attention", "feedforward", "attention_norm", "norm")
}
SHAPES = dict.fromkeys(("query", "key", "value", "attention_dense"), (120, 120))
SHAPES |= {"inner": (480, 120), "outer": (120, 480)}
LINEARS = {
    f"layers.{i}.{kind}": Site(f"layers.{i}.{kind}", kind, i, "m", "m", *shape, form="linear")
    for i in range(2)
    for kind, shape in SHAPES.items()
}


def glue_row(method: str, seed: int, lr: float, validation: float, test: float) -> dict:
    """A recorded run on CoLA."""
    return {"task": "glue/CoLA", "method": method, "seed": seed, "lr": lr, "validation": validation, "test": test,
            "metric": "matthews", "trained_percent": 2.0, "n_train": 3000, "epochs": 3}  # fmt: skip


GLUE = pd.DataFrame(
    [glue_row("adapter 8", s, 1e-3, 0.5, 0.9) for s in (0, 1)]
    + [glue_row("adapter 64", s, 1e-3, 0.6, t) for s, t in ((0, 0.40), (1, 0.44))]
    + [glue_row("full", s, 1e-4, 0.6, t) for s, t in ((0, 0.42), (1, 0.42))]
    + [glue_row("head only", 0, 1e-3, 0.9, 0.9)]
)


def texts(figure) -> list[str]:
    """All annotations of a figure."""
    return [note.text for note in figure.layout.annotations if note.text]


@cache
def tokenizer():
    """The bundled model's."""
    return load_base(device="cpu")[1]


def readers(head: str = "classes") -> dict:
    """Two adapters that disagree and no adapter, on a small random model: what 02 (classes) and 08 (span) compare."""
    kind = {"classes": BertForSequenceClassification, "span": BertForQuestionAnswering}[head]
    small = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96)
    torch.manual_seed(0)
    model = kind(BertConfig(vocab_size=len(tokenizer()), max_position_embeddings=512, **small)).eval()
    adapters = Adapters(model)
    for seed, name in enumerate("ab"):
        adapters.add(name, houlsby(8, std=0.3), head=HEAD if head == "span" else LABELS, seed=seed)
    return {"one": (model, adapters, "a"), "two": (model, adapters, "b"), "bare": (model, None)}


def switches() -> Board:
    """05's board: three layers, thirty sentences."""
    texts = [f"<b>sentence</b> {i}" for i in range(30)]
    return Board(Toggles(adapted(), "a", rows(30)), texts, ("x", "y", "z"))


def fused() -> Adapters:
    """Three adapters, the third with other labels, and a fusion "f" of them."""
    adapters = Adapters(tiny_bert())
    for seed, name in enumerate("abc"):
        labels = ("critic", "viewer", "other") if name == "c" else ("no", "yes")
        torch.manual_seed(seed)
        for p in adapters.add(name, PfeifferConfig(size=4), head=labels, seed=seed).parameters():
            torch.nn.init.normal_(p, std=0.5)
    adapters.add_fusion("abc", "f", head=("no", "yes"), seed=5)
    return adapters


class Tokens(dict):
    def to(self, device):
        return self


def letters(texts, **_) -> Tokens:
    """A tokenizer: a token a letter, five of them."""
    ids = torch.tensor([[1 + ord(c) % 20 for c in text.ljust(5)[:5]] for text in texts])
    return Tokens(input_ids=ids, attention_mask=torch.ones_like(ids))


def _market():
    model, towns = load_base(device="cpu")[0], almanac.almanac(8)
    adapters = Adapters(model)
    for seed, name in enumerate("ab"):
        adapters.add(name, houlsby(4, std=0.1), head=almanac.MARKETS, seed=seed)
    return market_view(adapters, tokenizer(), {"one": "a", "other": "b"}, towns)


def _tree():
    adapters = Adapters(tiny_bert())
    for name, config in {"movies": houlsby(4), "lora": LoRAConfig(rank=2, layers=(1,))}.items():
        adapters.add(name, config)
    return tree_view(adapters)


#: name -> view
VIEWS = {
    "tree": lambda _: _tree(),
    "00 budget": lambda _: budget(),
    "01 how far": lambda _: how_far(tiny_bert(), tokens()),
    "01 where": lambda _: where(),
    "02 sentence": lambda _: sentence_view(readers(), tokenizer(), LABELS),
    "03 budget": lambda _: budget_view(),
    "04 size": lambda _: size_view(SIZES, SHARES),
    "05 switches": lambda _: switches(),
    "06 variant": lambda _: variant_view(VARIANTS, SUBLAYERS, size=4, total=10_000),
    "07 metric": lambda _: metric_view(),
    "08 question": lambda _: question_view(readers("span"), tokenizer(), load_questions().first(8)),
    "09 places": lambda _: places_view(measure("minilm")[1], measure("minilm")[0]),
    "10 lora": lambda _: lora_view(LORA, LINEARS, total=100_000),
    "11 market": lambda _: _market(),
    "12 composition": lambda _: composition_view(fused(), letters, "abc", fusion="f", text="hello"),
    "13 serving": lambda _: serving_view(1_000_000, {"big": 250_000, "small": 0}, 3),
    "14 fit": lambda _: fit_view("bert-base", 8),
    "15 mood": lambda _: mood_view(WRITTEN),
    "16 map": lambda _: map_view(),
    "16 choose": lambda _: choose_view(),
}
