"""A tiny model of some depth with an adapter of two bottlenecks a layer, and sentences for it."""

import tiny
import torch

from adapterlab.adapters import Adapters
from adapterlab.methods import houlsby
from adapterlab.tasks import Encoded


def rows(n=11, seed=0, classes=3):
    """Sentences of different lengths, so that batches have padding."""
    g = torch.Generator().manual_seed(seed)
    ids = [torch.randint(3, 60, (int(k),), generator=g).tolist() for k in torch.randint(3, 9, (n,), generator=g)]
    return Encoded(ids, None, torch.randint(0, classes, (n,), generator=g), 0, 40, 0)


def adapted(case="bert", layers=3, recipe=None, pooling=None, **extra):
    """A tiny model with an adapter whose every parameter matters."""
    kind, settings, cls = tiny.CASES[case]
    deep = {k: layers for k in ("num_hidden_layers", "n_layers", "n_layer", "num_layers") if k in settings}
    tiny.CASES["deep"] = (kind, dict(settings, **deep, **extra), cls)
    adapters = Adapters(tiny.model("deep"))
    torch.manual_seed(1)
    for p in adapters.add("a", recipe or houlsby(4), head=("x", "y", "z"), pooling=pooling).parameters():
        p.data.add_(0.3 * torch.randn_like(p))
    return adapters
