"""The learner's functions in the places of the package's, where they run from then on; and what is measured of them."""

from collections.abc import Callable, Mapping

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from ... import compose
from ...adapters import Adapters
from ...combine import change
from ...methods import Fusion, LoRA
from ...tasks import Encoded
from ...train import Run, default_loss, fit

PACKAGE = compose.evaluate
"""The package's own evaluation, which goes on with what the learner's function does not know."""


def runs_on(evaluate: Callable) -> None:
    """From here on `evaluate(setup, methods, x, y)` evaluates every Stack and Average, at each site.

    It gets functions of (x, y) for methods. All other blocks, and an adapter alone, stay with the package.
    """

    def run(setup, methods, x, y, norm=None) -> Tensor:
        kinds = {type(block) for block in compose.blocks(setup)}
        if not kinds or kinds - {compose.Stack, compose.Average}:
            return PACKAGE(setup, methods, x, y, norm)
        names = compose.names(setup)
        functions = {name: lambda x, y, name=name: PACKAGE(name, methods, x, y, norm) for name in names}
        return evaluate(setup, functions, x, y)

    compose.evaluate = run


def fusions(adapters: Adapters, name: str) -> dict[str, Fusion]:
    """Site -> the attention of fusion `name` there."""
    return {site: m for site, modules in adapters[name].at.items() for m in modules if isinstance(m, Fusion)}


def attends_with(adapters: Adapters, name: str, fuse: Callable) -> None:
    """From here on `fuse(h, z, Q, K, V)` is the attention of fusion `name`, forward and backward, at each site.

    h: (tokens, width), the tokens of all rows; z: (adapters, tokens, width).
    """
    for module in fusions(adapters, name).values():

        def forward(h: Tensor, z: list[Tensor], module: Fusion = module) -> Tensor:
            Q, K, V = module.query.weight, module.key.weight, module.value.weight
            return fuse(h.flatten(0, 1), torch.stack(z).flatten(1, 2), Q, K, V).view_as(h)

        module.forward = forward


def loss_of(adapters: Adapters, name: str) -> Callable:
    """The task's loss, and for a fusion ||V - I||^2 / 100 of each site besides (section 4.1 of the paper)."""
    layers = list(fusions(adapters, name).values())
    return lambda output, labels: sum((m.regularization() for m in layers), default_loss(output, labels))


@torch.no_grad()
def attention(adapters: Adapters, name: str, inputs: Mapping[str, Tensor]) -> pd.DataFrame:
    """Columns layer, adapter, weight (a mean over the tokens that are no padding, in %) of a fusion over a batch."""
    real, of, rows, hooks = inputs["attention_mask"].bool(), adapters[name].info.fusion.of, [], []
    for site, module in fusions(adapters, name).items():

        def look(module: Fusion, args: tuple, layer: int | None = adapters.sites[site].layer) -> None:
            h, z = args[0], torch.stack(args[1])
            scores = (module.query(h) * module.key(z)).sum(-1)  # (adapters, batch, tokens)
            weights = 100 * scores.softmax(0)[:, real].mean(1)
            rows.extend((layer, *pair) for pair in zip(of, weights.tolist(), strict=True))

        hooks.append(module.register_forward_pre_hook(look))
    try:
        with adapters.use(name):
            adapters.model(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return pd.DataFrame(rows, columns=["layer", "adapter", "weight"])


def same_head(adapters: Adapters, name: str, of: str) -> None:
    """Add `name`, a head alone that judges as the head of adapter `of` does."""
    adapters.add(name, (), head=adapters[of].info.head.labels, pooling=adapters[of].info.head.pooling)
    adapters[name].head_parts.load_state_dict(adapters[of].head_parts.state_dict())


# ---- a domain without labels


def masked_words(adapters: Adapters, data: Encoded, mask: int, share: float = 0.15, **settings) -> Run:
    """Train the active adapter to guess masked tokens of unlabelled rows; returns the Run.

    The model's head is not asked: a state is compared with every word's embedding. mask: the token's id; share: of the
    tokens; settings: of `fit`.
    """
    model, generator, batch = adapters.model, torch.Generator().manual_seed(settings["seed"]), {}
    words = model.get_input_embeddings().weight

    def hide(module, args, kwargs):
        ids, real = kwargs["input_ids"], kwargs["attention_mask"].bool()
        hidden = (torch.rand(ids.shape, generator=generator) < share).to(ids.device) & real
        hidden[:, 1] |= not hidden.any()  # one at least
        batch.update(hidden=hidden, ids=ids)
        return args, {**kwargs, "input_ids": ids.masked_fill(hidden, mask)}

    def loss(output, labels):
        hidden = batch["hidden"]
        return F.cross_entropy(batch["states"][hidden] @ words.T, batch["ids"][hidden])

    hooks = [
        model.register_forward_pre_hook(hide, with_kwargs=True),
        model.base_model.register_forward_hook(lambda module, args, output: batch.update(states=output[0])),
    ]
    try:
        return fit(model, data, None, loss=loss, **settings)
    finally:
        for hook in hooks:
            hook.remove()


# ---- sums of weights


def sum_with(adapters: Adapters, name: str, parts: Mapping[str, float], concatenate: Callable) -> None:
    """Add adapter `name`, the sum of LoRAs as the learner's `concatenate` writes it at each site. parts: -> weight."""
    adapters.combine(name, parts, "concatenate")
    with torch.no_grad():
        for site, modules in adapters[name].at.items():
            for i, module in enumerate(modules):
                if isinstance(module, LoRA):
                    loras = [(w, adapters[part].at[site][i]) for part, w in parts.items()]
                    B, A = concatenate([(w * m.scale, m.B, m.A) for w, m in loras])
                    module.B.copy_(B / module.scale)
                    module.A.copy_(A)


@torch.no_grad()
def beside_the_sum(adapters: Adapters, name: str, parts: Mapping[str, float]) -> dict[str, float]:
    """A merge M beside the sum S of the parts, over all sites. length: |M| / |S|; off: |M - S| / |S| in %.

    direction: what is off, in %, when M is scaled to be as near to S as it can be.
    """
    M, S = [], []
    for site, modules in adapters[name].at.items():
        for i, module in enumerate(modules):
            if isinstance(module, LoRA):
                M.append(change(module).flatten())
                S.append(sum(w * change(adapters[part].at[site][i]) for part, w in parts.items()).flatten())
    M, S = torch.cat(M), torch.cat(S)
    off, turned = ((made - S).norm() / S.norm() for made in (M, M * (M @ S) / (M @ M)))
    return {"length": (M.norm() / S.norm()).item(), "off": 100 * off.item(), "direction": 100 * turned.item()}
