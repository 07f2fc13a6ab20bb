"""Random BERTs of a few thousand parameters, for the tests of the core: every tensor matters, none means anything."""

import torch
from transformers import BertConfig, BertForSequenceClassification

from adapterlab.adapters import Adapters

VOCAB = 60


def tiny_bert(seed: int = 0, width: int = 16, layers: int = 2, labels: int = 2, kind=BertForSequenceClassification):
    """A BERT in eval mode whose every tensor is random, the biases and LayerNorms too."""
    config = BertConfig(
        vocab_size=VOCAB,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=32,
        num_labels=labels,
        attn_implementation="eager",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(config).eval()
        for p in model.parameters():
            p.data.add_(0.2 * torch.randn_like(p))
    return model


def tokens(rows: int = 3, length: int = 7, seed: int = 1) -> dict:
    """A batch with padding: rows of random tokens, the last one two tokens shorter."""
    ids = torch.randint(1, VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[-1, -2:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def logits(model, **more) -> torch.Tensor:
    """What the model says to `tokens`."""
    with torch.no_grad():
        return model(**{**tokens(), **more}).logits


def shake(adapter, std: float = 0.3, seed: int = 5) -> None:
    """Give an adapter weights that matter, as training would."""
    g = torch.Generator().manual_seed(seed)
    for p in adapter.parameters():
        p.data.add_(std * torch.randn(p.shape, generator=g))


def ready(model, recipe, name: str = "a", std: float = 0.3, **settings) -> Adapters:
    """The model's adapters, made if need be, with one more whose weights matter, active."""
    adapters = getattr(model, "_owner", None) or Adapters(model)
    object.__setattr__(model, "_owner", adapters)
    shake(adapters.add(name, recipe, seed=0, **settings), std)
    adapters.activate(name)
    return adapters


def snapshot(model) -> dict:
    """A copy of the state dict."""
    return {k: v.clone() for k, v in model.state_dict().items()}


def same_state(a: dict, b: dict) -> bool:
    """The same names in the same order, and bit for bit the same tensors."""
    return list(a) == list(b) and all(torch.equal(a[k], b[k]) for k in a)


def hooks(model) -> int:
    """How many hooks of any kind hang on the model's modules."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
