"""Where the sites of a model are: the table of `families` applied to a model, and patterns for all others.

A site is a place in a frozen transformer where a method may change what flows by: x goes into a module (or a whole
sub-layer), y comes out, and the method returns a new y. y of a sub-layer is its output after the projection, before
the residual is added. x is what the sub-layer is given: in a post-norm model (BERT) the residual stream itself, in a
pre-norm model (GPT-2, Llama) the normalised stream. At a few sites y is something else: see `Site.form`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from .errors import UserError, suggest
from .families import FAMILIES, family_of, several


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
    sites = _from_table(model, modules) if known else []
    for kind, pattern in (extra or {}).items():
        sites += _from_pattern(model, modules, kind, pattern)
    return {site.name: site for site in sites}


def find_layers(model: nn.Module) -> dict[str, str]:
    """ "layers.0" -> dotted path of the layer, from the input to the output (encoder first, then decoder)."""
    base, names, layers = prefix(model), [name for name, _ in model.named_modules()], {}
    for label, patterns in family_of(model).layers.items():
        for pattern in several(patterns):
            wanted = re.compile(re.escape(base + pattern).replace(r"\*", r"\d+"))
            layers |= {f"{label}.{i}": path for i, path in enumerate(filter(wanted.fullmatch, names))}
    return layers


def _from_table(model: nn.Module, modules: dict[str, nn.Module]) -> list[Site]:
    base, layers = prefix(model), find_layers(model)
    norms = [path for path in (base + norm for norm in family_of(model).outer_norms) if _scale(modules.get(path))]
    sites = [_alone("norm", f"norm.{i}", "norm", path, _scale(modules[path])) for i, path in enumerate(norms)]
    for label, path in layers.items():
        sites += _in_layer(model, modules, label, path)
    return sites + _head(model, modules) + _ends(model, modules, {site.name: site for site in sites})


def _alone(form: str, name: str, kind: str, path: str, width: int, causal: bool = False) -> Site:
    """A site outside the layers, as wide at its input as at its output."""
    return Site(name, kind, None, path, path, width, width, form=form, causal=causal)


def _in_layer(model: nn.Module, modules: dict[str, nn.Module], label: str, layer: str) -> list[Site]:
    family, (stack, index), shapes = family_of(model), label.rsplit(".", 1), {}
    sites: list[Site] = []

    def place(form, kind, end, width, source_width=None, source=None, norm=None, name=None):
        module, source = (f"{layer}.{path}".removesuffix(".") for path in (end, source or end))
        if module in modules and source in modules:
            more = source_width or width, norm, form, stack in family.causal
            sites.append(Site(f"{label}.{name or kind}", kind, int(index), module, source, width, *more))

    norms = [norm for norm in family.norms if _scale(modules.get(f"{layer}.{norm}"))]
    width = _scale(modules[f"{layer}.{norms[0]}"])
    pre_norm = getattr(model.config, family.pre_norm) if isinstance(family.pre_norm, str) else family.pre_norm
    for kind, source, module, norm in family.sublayers:
        place("sublayer", kind, module, width, source=source, norm=None if pre_norm else f"{layer}.{norm}")
    for kind, options in family.linears.items():
        for path in several(options):
            if f"{layer}.{path}" in modules:
                shapes[kind] = outputs, inputs = _shape(modules[f"{layer}.{path}"])
                place("linear", kind, path, outputs, inputs)
                if kind == "outer":
                    place("hidden", "hidden", path, inputs)
    for i, norm in enumerate(norms):
        place("norm", "norm", norm, width, name=f"norm.{i}")
    for kind, path in (family.memories or {}).items():
        key, fused = (shapes.get(kind.replace("memory", name), (0, 0))[0] for name in ("key", "qkv"))
        if key or fused:
            place("memory", kind, path, key or _share(model, fused), width)
    place("block", "block", "", width)
    return sites


def _ends(model: nn.Module, modules: dict[str, nn.Module], sites: dict[str, Site]) -> list[Site]:
    """Where the stream enters and leaves, and the embedded tokens."""
    family, base, ends = family_of(model), prefix(model), []
    stacks = dict.fromkeys(name.split(".")[0] for name, site in sites.items() if site.kind == "block")
    for stack in stacks:
        first = sites[f"{stack}.0.block"]  # where one layer is applied again and again, the stream enters above it
        path = base + family.entry if family.entry else first.module
        inner = getattr(modules[path], "embedding_hidden_mapping_in", None)
        name = "embedding" if stack in ("layers", "shared") else f"{stack}.embedding"
        width = _shape(inner)[1] or first.width
        ends.append(_alone("stream", name, "embedding", path, width, causal=name.split(".")[0] in family.causal))
    out = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    ends += [_alone("stream", "unembedding", "unembedding", n, _shape(m)[1]) for n, m in modules.items() if m is out]
    if family.text:
        path = base + "encoder" if {"encoder", "decoder"} & set(stacks) else base.removesuffix(".")
        embeddings = modules[path].get_input_embeddings()
        ends.append(_alone("prompt", "prompt", "prompt", path, embeddings.weight.shape[1]))
    return ends


def _head(model: nn.Module, modules: dict[str, nn.Module]) -> list[Site]:
    """The head's last map, and before it the maps and norms that stand between the encoder and it, a pooler's included.

    They are the adapter's where the checkpoint lacks them; where nobody noted what it holds, what lies outside the base
    model is taken to be lacking.
    """
    family, base, known = family_of(model), prefix(model), origin(model)
    last = next((path for path in family.heads if _shape(modules.get(path))[0]), None)
    if last is None:
        return []
    pooled = type(model).__name__.endswith("ForSequenceClassification") and family.text and "score" not in last
    states = None if not pooled or model.config.is_encoder_decoder else _hidden(model)
    trunk = (base,) if base else tuple(path.split(".")[0] + "." for path in find_layers(model).values())
    above = {path: module for path, module in modules.items() if not f"{path}.".startswith((*trunk, "adapterlab."))}
    drops = (module.p for module in above.values() if isinstance(module, nn.Dropout))
    width, source = _shape(modules[last])
    head = Site("head", "head", None, last, last, width, source, form="head", states=states, dropout=next(drops, 0.0))
    sites = [head]
    for path, module in modules.items():
        if path == last or not (path in above or "pooler" in path.split(".")):
            continue
        (width, source), scale = _shape(module), _scale(module)
        if (width or scale) and (source or scale):
            lacks = (f"{path}.{key}" in known.missing for key, _ in module.named_parameters()) if known else ()
            missing = any(lacks) if known else path in above
            name, form = "head." + path.removeprefix(base).replace(".", "_"), "head map" if width else "head norm"
            shape = width or scale, source or scale
            sites.append(Site(name, "head_map", None, path, path, *shape, form=form, missing=missing))
    return sites


def _share(model: nn.Module, fused: int) -> int:
    """How wide the keys are in a fused projection of queries, keys and values."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", 1)
    keys = getattr(config, "num_key_value_heads", None) or heads
    return fused * keys // (heads + 2 * keys)


def _from_pattern(model: nn.Module, modules: dict[str, nn.Module], kind: str, pattern: str) -> list[Site]:
    try:
        paths = [name for name in modules if name and re.fullmatch(pattern, name)]
    except re.error as error:
        raise UserError(f'sites: "{pattern}" for "{kind}" is no regular expression: {error}') from None
    if not paths:
        raise UserError(f'sites: no module of this model is called "{pattern}"{suggest(pattern, modules)}')
    sites = []
    for path in paths:
        number = re.search(r"(?:^|\.)(\d+)(?:\.|$)", path)
        (width, source_width), scale = _shape(modules[path]), _scale(modules[path])
        form = "linear" if width else "norm" if scale else "module"
        width = width or scale or _hidden(model) or 0
        if not width:
            raise UserError(f'sites: the width of "{path}" cannot be told; name a linear layer or a norm instead')
        layer = number and int(number[1])
        sites.append(Site(f"{kind}.{path}", kind, layer, path, path, width, source_width or width, form=form))
    return sites


def prefix(model: nn.Module) -> str:
    """What the base model's modules are called within the model: "bert.", or "" when it is the base model."""
    name = getattr(model, "base_model_prefix", "")
    return f"{name}." if name and hasattr(model, name) else ""


def _hidden(model: nn.Module) -> int | None:
    config = getattr(model, "config", None)
    return getattr(config.get_text_config(), "hidden_size", None) if config is not None else None


def _scale(norm) -> int:
    """The width of a norm; 0 for what has no weight, as the Identity before ModernBERT's first attention."""
    weight = getattr(norm, "weight", None)
    return weight.shape[0] if weight is not None and weight.ndim == 1 else 0


def _shape(linear) -> tuple[int, int]:
    """(outputs, inputs) of a linear-like module: nn.Linear, quantized ones, GPT-2's Conv1D; zeros for others."""
    if hasattr(linear, "nf"):
        return linear.nf, linear.nx
    return getattr(linear, "out_features", 0), getattr(linear, "in_features", 0)


def kinds(sites: dict[str, Site], names: Iterable[str]) -> tuple[str, ...]:
    """Site names as kinds, where all sites of a kind are there, else one by one."""
    chosen, out = set(names), []
    for name in (name for name in sites if name in chosen):
        kind = sites[name].kind
        whole = {other for other, site in sites.items() if site.kind == kind} <= chosen
        out.append(kind if whole else name)
    return tuple(dict.fromkeys(out))


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
