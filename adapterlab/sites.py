"""Model family -> where its sites are.

A site is a place in a frozen transformer where a method may change what flows by: x goes into a module (or a whole
sub-layer), y comes out, and the method returns a new y. One `Family` row a model family says where its sites lie.
"""

from dataclasses import dataclass, field

from torch import nn

from .errors import UserError, suggest

LINEARS = ("query", "key", "value", "attention_dense", "inner", "outer")


@dataclass(frozen=True)
class Site:
    """One place in one model.

    name: what a user writes, "layers.0.attention"; kind: "attention"; layer: 0 (None outside the layers).
    module: dotted path of the module whose output is y, (..., width).
    source: dotted path of the module whose first input is x, (..., source_width); often the same module.
    norm: dotted path of the LayerNorm that the model applies to y + x, or None where it does not.
    """

    name: str
    kind: str
    layer: int | None
    module: str
    source: str
    width: int
    source_width: int
    norm: str | None = None


@dataclass(frozen=True)
class Family:
    """Where a model family keeps its sub-layers; paths are relative to a layer unless said otherwise.

    layers: paths of the lists of layers, relative to the base model, each with the prefix of its sites' names.
    sublayers: kind -> (source, module, norm): x enters at source, y leaves at module, norm follows y + x or is None.
    linears: kind -> path, for LoRA and its relatives; a fused projection simply has fewer kinds.
    norms: the layer norms of a layer; outer_norms: those outside the layers, relative to the base model.
    heads: paths of the task head's last module, relative to the whole model; the first that exists counts.
    """

    layers: dict[str, str]
    sublayers: dict[str, tuple[str, str, str | None]]
    linears: dict[str, str] = field(default_factory=dict)
    norms: tuple[str, ...] = ()
    outer_norms: tuple[str, ...] = ()
    heads: tuple[str, ...] = ("classifier", "qa_outputs", "score")


BERT = Family(
    layers={"layers": "encoder.layer"},
    sublayers={
        "attention": ("attention", "attention.output.dropout", "attention.output.LayerNorm"),
        "feedforward": ("intermediate", "output.dropout", "output.LayerNorm"),
    },
    linears={
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attention_dense": "attention.output.dense",
        "inner": "intermediate.dense",
        "outer": "output.dense",
    },
    norms=("attention.output.LayerNorm", "output.LayerNorm"),
    outer_norms=("embeddings.LayerNorm",),
    heads=("classifier.out_proj", "classifier", "qa_outputs"),
)

FAMILIES: dict[str, Family] = {
    "bert": BERT,
    "roberta": BERT,
    "xlm-roberta": BERT,
    "camembert": BERT,
    "electra": BERT,
}


def family_of(model: nn.Module) -> Family:
    """The row of the table for this model; UserError for a family that is not in it."""
    kind = getattr(model.config, "model_type", type(model).__name__)
    if kind not in FAMILIES:
        raise UserError(
            f'no sites are known for the model family "{kind}"{suggest(kind, FAMILIES)}; '
            f"known: {', '.join(sorted(FAMILIES))}"
        )
    return FAMILIES[kind]


def find_sites(model: nn.Module) -> dict[str, Site]:
    """Every site of the model by name, from the input to the output."""
    family = family_of(model)
    base = getattr(model, model.base_model_prefix, model)
    prefix = "" if base is model else model.base_model_prefix + "."
    hidden = model.config.get_text_config().hidden_size
    modules = dict(model.named_modules())
    found: dict[str, Site] = {}

    def place(name, kind, layer, source, module, norm=None, width=None, source_width=None):
        if module in modules and source in modules:
            found[name] = Site(
                name, kind, layer, module, source, width or hidden, source_width or hidden, norm
            )

    for i, path in enumerate(family.outer_norms):
        place(f"norm.{i}", "norm", None, prefix + path, prefix + path)
    for label, path in family.layers.items():
        for i in range(len(modules.get(prefix + path, ()))):
            layer, name = f"{prefix}{path}.{i}.", f"{label}.{i}."
            for kind, (source, module, norm) in family.sublayers.items():
                place(name + kind, kind, i, layer + source, layer + module, norm and layer + norm)
            for kind, linear in family.linears.items():
                width, source_width = _shape(modules.get(layer + linear))
                place(name + kind, kind, i, layer + linear, layer + linear, None, width, source_width)
            for j, norm in enumerate(family.norms):
                place(f"{name}norm.{j}", "norm", i, layer + norm, layer + norm)
            place(name + "block", "block", i, layer[:-1], layer[:-1])
    for path in family.heads:
        if path in modules:
            place("head", "head", None, path, path, None, *_shape(modules[path]))
            break
    return found


def _shape(linear) -> tuple[int | None, int | None]:
    """(outputs, inputs) of a linear-like module: nn.Linear, quantized ones, GPT-2's Conv1D."""
    if linear is None:
        return None, None
    if hasattr(linear, "nf"):
        return linear.nf, linear.nx
    return getattr(linear, "out_features", None), getattr(linear, "in_features", None)


def match(sites: dict[str, Site], kinds, layers=None) -> list[Site]:
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
