"""Where the sites of a model are: the table of `families` applied to a model, and patterns for all others.

A site is a place in a frozen transformer where a method may change what flows by: x goes into a module (or a whole
sub-layer), y comes out, and the method returns a new y. y of a sub-layer is its output after the projection, before
the residual is added. x is what the sub-layer is given: in a post-norm model (BERT) the residual stream itself, in a
pre-norm model (GPT-2, Llama) the normalised stream. At a few sites y is something else: see `Site.form`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import nn

from .errors import UserError, suggest
from .families import FAMILIES, Family, family_of

__all__ = ["FAMILIES", "Family", "Site", "family_of", "find_layers", "find_sites", "match"]


@dataclass(frozen=True)
class Site:
    """One place in one model.

    name: what a user writes, "layers.0.attention"; kind: "attention"; layer: 0 (None outside the layers).
    module: dotted path of the module whose output is y, (..., width).
    source: dotted path of the module whose first input is x, (..., source_width); often the same module.
    norm: dotted path of the norm that the model applies to y + x, or None where it does not (pre-norm models).
    form: what y is. The output of a "linear", "norm", "sublayer", "block" (a whole layer), of the "head"'s last map or
        of what comes before it there ("head map", "head norm"), or of any "module" that a pattern found. The input of a
        module: "hidden" (the feed-forward's hidden units, after the activation, on their way into its outer matrix)
        and "stream" (what enters the first layer, or the output embeddings). The keys and values of an attention:
        "memory". The embedded tokens of a text: "prompt".
    causal: True where a position sees only those before it.
    states: of a head whose model hands one vector a text to it: how wide the encoder's states are, of which that vector
        is made; None where there are none to pool. dropout: the model's own on that vector.
    missing: of a head's maps, True where the checkpoint has none.
    """

    name: str
    kind: str
    layer: int | None
    module: str
    source: str
    width: int
    source_width: int
    norm: str | None = None
    form: str = "module"
    causal: bool = False
    states: int | None = None
    dropout: float = 0.0
    missing: bool = False


HEADS = ("head", "head_map")  # the kinds of the sites of a task's head
ORIGIN = "adapterlab_origin"  # the attribute of a model under which `models.load_base` notes where it came from


@dataclass(frozen=True)
class Origin:
    """What is known of a model's checkpoint.

    missing: the parameters that it lacks, so that they were initialised anew. pooling: how its authors made one vector
    of a text's tokens: "mean", "first", "last", or "model" (as its class does).
    """

    missing: frozenset[str] = frozenset()
    pooling: str = "model"


def origin(model: nn.Module) -> Origin | None:
    """What `load_base` noted of the model's checkpoint; None for a model that came another way."""
    return getattr(model, ORIGIN, None)


def find_sites(model: nn.Module, extra: dict[str, str] | None = None) -> dict[str, Site]:
    """Every site of the model by name, from the input to the output.

    extra: kind -> regular expression for whole module names, for what the table does not have: every matching
    module becomes a site "kind.module.name". With it the model's family need not be in the table.
    Errors: UserError for an unknown family without `extra`, and for a pattern that matches nothing.
    """
    modules = dict(model.named_modules())
    known = not extra or getattr(getattr(model, "config", None), "model_type", None) in FAMILIES
    sites = _from_table(model, modules) if known else {}
    for kind, pattern in (extra or {}).items():
        sites |= _from_pattern(model, modules, kind, pattern)
    return sites


def find_layers(model: nn.Module) -> dict[str, str]:
    """ "layers.0" -> dotted path of the layer, from the input to the output (encoder first, then decoder)."""
    base, family = prefix(model), family_of(model)
    names = [name for name, _ in model.named_modules()]
    layers = {}
    for label, patterns in family.layers.items():
        for pattern in _several(patterns):
            wanted = re.compile(re.escape(base + pattern).replace(r"\*", r"\d+"))
            paths = [name for name in names if wanted.fullmatch(name)]
            layers |= {f"{label}.{i}": path for i, path in enumerate(paths)}
    return layers


def _from_table(model: nn.Module, modules: dict[str, nn.Module]) -> dict[str, Site]:
    family, base = family_of(model), prefix(model)
    flag = family.pre_norm
    pre_norm = getattr(model.config, flag) if isinstance(flag, str) else flag
    sites: dict[str, Site] = {}

    def place(form, name, kind, layer, source, module, width, source_width=None, norm=None):
        if module in modules and source in modules:
            causal = name.split(".")[0] in family.causal
            sites[name] = Site(name, kind, layer, module, source, width, source_width or width, norm, form, causal)

    outer = [p for p in (base + path for path in family.outer_norms) if _scale(modules.get(p))]
    for i, path in enumerate(outer):
        place("norm", f"norm.{i}", "norm", None, path, path, _scale(modules[path]))
    for label, layer in find_layers(model).items():
        index, path = int(label.rsplit(".", 1)[1]), layer + "."
        norms = [p for p in (path + norm for norm in family.norms) if _scale(modules.get(p))]
        width = _scale(modules[norms[0]])
        for kind, source, module, norm in family.sublayers:
            after = None if pre_norm or norm is None else path + norm
            place("sublayer", f"{label}.{kind}", kind, index, path + source, path + module, width, norm=after)
        for kind, options in family.linears.items():
            for linear in (path + option for option in _several(options)):
                if linear in modules:
                    place("linear", f"{label}.{kind}", kind, index, linear, linear, *_shape(modules[linear]))
        for i, norm in enumerate(norms):
            place("norm", f"{label}.norm.{i}", "norm", index, norm, norm, width)
        place("block", f"{label}.block", "block", index, layer, layer, width)
    return sites | _head(model, modules) | _beyond(model, modules, sites)


def _head(model: nn.Module, modules: dict[str, nn.Module]) -> dict[str, Site]:
    """The head's last map, and before it the maps and norms that stand between the encoder and it, a pooler's included.

    They are the adapter's where the checkpoint lacks them; where nobody noted what it holds, what lies outside the base
    model is taken to be lacking.
    """
    family, base, known = family_of(model), prefix(model), origin(model)
    last = next((path for path in family.heads if _shape(modules.get(path))[0]), None)
    if last is None:
        return {}
    pooled = type(model).__name__.endswith("ForSequenceClassification") and family.text and "score" not in last
    states = None if not pooled or model.config.is_encoder_decoder else _hidden(model)
    trunk = (base,) if base else tuple(path.split(".")[0] + "." for path in find_layers(model).values())
    width, source = _shape(modules[last])
    above = (module for path, module in modules.items() if not path.startswith((*trunk, "adapterlab.")))
    drops = (module.p for module in above if isinstance(module, nn.Dropout))
    head = Site("head", "head", None, last, last, width or 0, source or 0, form="head", states=states)
    sites = {"head": replace(head, dropout=next(drops, 0.0))}
    for path, module in modules.items():
        outside = not f"{path}.".startswith((*trunk, "adapterlab."))
        if path == last or not (outside or "pooler" in path.split(".")):
            continue
        (width, source), scale = _shape(module), _scale(module)
        form = "head map" if width else "head norm"
        width, source = width or scale, source or scale
        if width and source:
            name, missing = "head." + path.removeprefix(base).replace(".", "_"), outside
            if known:
                missing = any(f"{path}.{key}" in known.missing for key, _ in module.named_parameters())
            sites[name] = Site(name, "head_map", None, path, path, width, source, form=form, missing=missing)
    return sites


def _beyond(model: nn.Module, modules: dict[str, nn.Module], sites: dict[str, Site]) -> dict[str, Site]:
    """The sites whose y is no module's output: hidden units, the stream's ends, keys and values, embedded tokens."""
    family, base, beyond = family_of(model), prefix(model), {}

    def place(form, kind, name, layer, path, width, source_width=None):
        causal = name.split(".")[0] in family.causal
        beyond[name] = Site(name, kind, layer, path, path, width, source_width or width, form=form, causal=causal)

    stacks: dict[str, str] = {}
    for label, layer in find_layers(model).items():
        stack, index = label.rsplit(".", 1)
        outer, width = sites.get(f"{label}.outer"), sites[f"{label}.block"].width
        if stack not in stacks:  # where one layer is applied again and again, the stream enters above it
            stacks[stack] = base + family.entry if family.entry else layer
            inner = getattr(modules[stacks[stack]], "embedding_hidden_mapping_in", None)
            name = "embedding" if stack in ("layers", "shared") else f"{stack}.embedding"
            place("stream", "embedding", name, None, stacks[stack], _shape(inner)[1] or width)
        if outer:
            place("hidden", "hidden", f"{label}.hidden", int(index), outer.module, outer.source_width)
        for kind, end in family.memories.items():
            cross = "cross_" if kind.startswith("cross") else ""
            key = sites.get(f"{label}.{cross}key") or sites.get(f"{label}.{cross}qkv")
            if f"{layer}.{end}" in modules and key:
                wide = key.width if key.kind.endswith("key") else _share(model, key.width)
                place("memory", kind, f"{label}.{kind}", int(index), f"{layer}.{end}", wide, width)
    out = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    path = next((name for name, module in modules.items() if module is out), None) if out is not None else None
    if path is not None:
        place("stream", "unembedding", "unembedding", None, path, _shape(out)[1])
    if family.text:
        path = base + "encoder" if {"encoder", "decoder"} & set(stacks) else base.removesuffix(".")
        embeddings = modules[path].get_input_embeddings()
        place("prompt", "prompt", "prompt", None, path, embeddings.weight.shape[1])
    return beyond


def _share(model: nn.Module, fused: int) -> int:
    """How wide the keys are in a fused projection of queries, keys and values."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", 1)
    keys = getattr(config, "num_key_value_heads", None) or heads
    return fused * keys // (heads + 2 * keys)


def _from_pattern(model: nn.Module, modules: dict[str, nn.Module], kind: str, pattern: str) -> dict[str, Site]:
    try:
        paths = [name for name in modules if name and re.fullmatch(pattern, name)]
    except re.error as error:
        raise UserError(f'sites: "{pattern}" for "{kind}" is no regular expression: {error}') from None
    if not paths:
        raise UserError(f'sites: no module of this model is called "{pattern}"{suggest(pattern, modules)}')
    sites = {}
    for path in paths:
        number = re.search(r"(?:^|\.)(\d+)(?:\.|$)", path)
        width, source_width = _shape(modules[path])
        form = "linear" if width else "norm" if _scale(modules[path]) else "module"
        width = width or _scale(modules[path]) or _hidden(model)
        if not width:
            raise UserError(f'sites: the width of "{path}" cannot be told; name a linear layer or a norm instead')
        name = f"{kind}.{path}"
        layer = number and int(number[1])
        sites[name] = Site(name, kind, layer, path, path, width, source_width or width, form=form)
    return sites


def prefix(model: nn.Module) -> str:
    """What the base model's modules are called within the model: "bert.", or "" when it is the base model."""
    name = getattr(model, "base_model_prefix", "")
    return f"{name}." if name and hasattr(model, name) else ""


def _several(value) -> tuple:
    return (value,) if isinstance(value, str) else value


def _hidden(model: nn.Module) -> int | None:
    config = getattr(model, "config", None)
    return getattr(config.get_text_config(), "hidden_size", None) if config is not None else None


def _scale(norm) -> int | None:
    """The width of a norm; None for what has no weight, as the Identity before ModernBERT's first attention."""
    weight = getattr(norm, "weight", None)
    return weight.shape[0] if weight is not None and weight.ndim == 1 else None


def _shape(linear) -> tuple[int | None, int | None]:
    """(outputs, inputs) of a linear-like module: nn.Linear, quantized ones, GPT-2's Conv1D."""
    if hasattr(linear, "nf"):
        return linear.nf, linear.nx
    return getattr(linear, "out_features", None), getattr(linear, "in_features", None)


def match(sites: dict[str, Site], kinds: Iterable[str], layers: Iterable[int] | None = None) -> list[Site]:
    """The sites of these kinds (or exact names) in these layers (None: all); UserError when a kind is not there."""
    chosen: dict[str, Site] = {}
    for kind in kinds:
        hits = {n: s for n, s in sites.items() if kind in (s.kind, n)}
        if not hits:
            known = dict.fromkeys(s.kind for s in sites.values())
            raise UserError(
                f'this model has no site "{kind}"{suggest(kind, [*known, *sites])}; it has: {", ".join(known)}'
            )
        chosen |= hits
    depth = 1 + max((s.layer for s in sites.values() if s.layer is not None), default=-1)
    for layer in layers or ():
        if not 0 <= layer < depth:
            raise UserError(f"layer {layer} is outside this model's layers 0 to {depth - 1}")
    return [s for s in chosen.values() if layers is None or s.layer is None or s.layer in layers]
