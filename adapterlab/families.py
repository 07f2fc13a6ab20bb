"""The table of model families: where each keeps its layers, sub-layers, linear maps and norms.

Rows follow the modelling files of transformers 5. Where a sub-layer ends in a dropout module, y is that module's
output; where its dropout is a function call or a module shared with another sub-layer (BART, T5's relatives apart:
OPT, ViT, Whisper, Phi, BLOOM, Falcon), y is the output projection's, and the frozen model's dropout comes after it.
"""

from dataclasses import dataclass, field, replace

from .errors import UserError, suggest


@dataclass(frozen=True)
class Family:
    """One row. Paths are relative to a layer unless said otherwise; a path that a model lacks is passed over.

    attention, cross_attention, feedforward: "source module norm" of such a sub-layer: x enters at source, y leaves at
        module, norm is its own. T5's decoder has its feed-forward elsewhere than its encoder: two in a tuple.
    layers: prefix of the sites' names -> paths of the layers, relative to the base model, "*" for the numbers.
    linears: kind -> path or paths, for LoRA and its relatives; fused projections have a kind of their own
        ("qkv", "gate_inner"), and a gated feed-forward is outer(act(gate(x)) * inner(x)).
    more_norms: on a layer's residual stream beside its sub-layers'; outer_norms: outside the layers, relative to the
        base model. Norms inside the attention (Qwen3's q_norm) are not listed: reach them by `extra`.
    heads: paths of the task head's last linear map, relative to the whole model; the first that exists counts.
    pre_norm: True where norms come before the sub-layer (no norm is then applied to y + x); or the name of the
        config's flag that says so.
    memories: kind -> path of the attention module that goes through transformers' attention interface, where keys and
        values can be added ("memory", "cross_memory"); None: the attentions'
        sources; {}: they compute for themselves.
    causal: prefixes of the sites' names in which a position sees only those before it.
    text: True where the model reads tokens (and takes `inputs_embeds` in their place).
    entry: where the stream enters, relative to the base model; "" for the first layer.
    """

    attention: str = ""
    cross_attention: str = ""
    feedforward: str | tuple[str, ...] = ""
    layers: dict[str, str | tuple[str, ...]] = field(default_factory=lambda: {"layers": "layers.*"})
    linears: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    more_norms: tuple[str, ...] = ()
    outer_norms: tuple[str, ...] = ()
    heads: tuple[str, ...] = ("score", "classifier", "qa_outputs")
    pre_norm: bool | str = False
    memories: dict[str, str] | None = None
    causal: tuple[str, ...] = ()
    text: bool = True
    entry: str = ""

    @property
    def sublayers(self) -> list[tuple[str, ...]]:
        """(kind, source, module, norm) of each."""
        rows = [("attention", self.attention), ("cross_attention", self.cross_attention)]
        rows += [("feedforward", row) for row in several(self.feedforward)]
        return [(kind, *row.split()) for kind, row in rows if row]

    @property
    def norms(self) -> tuple[str, ...]:
        """Every norm on a layer's residual stream, once."""
        return tuple(dict.fromkeys((*(norm for *_, norm in self.sublayers), *self.more_norms)))


FAMILIES: dict[str, Family] = {}


def several(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Its paths, one or more."""
    return (value,) if isinstance(value, str) else value


def _row(names: str, like: Family | None = None, **columns) -> Family:
    """A row, under the names of its families; `like`: one of which it differs in these columns."""
    family = replace(like or Family(), **columns)
    if family.memories is None:
        attentions = {kind: source for kind, source, *_ in family.sublayers if kind != "feedforward"}
        family = replace(family, memories={kind.replace("attention", "memory"): s for kind, s in attentions.items()})
    FAMILIES.update(dict.fromkeys(names.split(), family))
    return family


def _linears(attention: str, names: str, inner: str = "", outer: str = "", gate: str = "", cross: str = "") -> dict:
    """kind -> path; names: "query key value output" or "fused output", below `attention` and below `cross`."""
    parts = names.split()
    kinds = ("query", "key", "value", "attention_dense") if len(parts) == 4 else ("qkv", "attention_dense")
    paths = {kind: f"{attention}.{part}" for kind, part in zip(kinds, parts, strict=True)}
    if cross:
        paths |= {f"cross_{kind}": f"{cross}.{part}" for kind, part in zip(kinds, parts, strict=True)}
    return paths | {k: p for k, p in (("gate", gate), ("inner", inner), ("outer", outer)) if p}


# ---- encoders

WIDE = ("intermediate.dense", "output.dense")
BERT = _row(
    "bert roberta xlm-roberta camembert electra",
    layers={"layers": "encoder.layer.*"},
    attention="attention attention.output.dropout attention.output.LayerNorm",
    feedforward="intermediate output.dropout output.LayerNorm",
    linears=_linears("attention", "self.query self.key self.value output.dense", *WIDE),
    outer_norms=("embeddings.LayerNorm", "encoder.LayerNorm", "encoder.conv.LayerNorm"),
    heads=("classifier.out_proj", "classifier", "qa_outputs"),
    memories={"memory": "attention.self", "cross_memory": "crossattention.self"},
)
_row("deberta", BERT, linears=_linears("attention", "self.in_proj output.dense", *WIDE), memories={})
_row(
    "deberta-v2",
    BERT,
    linears=_linears("attention", "self.query_proj self.key_proj self.value_proj output.dense", *WIDE),
    memories={},
)
_row(
    "mpnet",
    BERT,
    attention="attention attention.dropout attention.LayerNorm",
    linears=_linears("attention.attn", "q k v o", *WIDE),
    memories={},
)
_row(
    "distilbert",
    layers={"layers": "transformer.layer.*"},
    attention="attention attention.out_lin sa_layer_norm",
    feedforward="ffn ffn.dropout output_layer_norm",
    linears=_linears("attention", "q_lin k_lin v_lin out_lin", "ffn.lin1", "ffn.lin2"),
    outer_norms=("embeddings.LayerNorm",),
)
# ALBERT applies one physical layer again and again: a site is "shared.0.attention", counts once, and its adapter runs
# at every application with the same weights.
_row(
    "albert",
    layers={"shared": "encoder.albert_layer_groups.*.albert_layers.*"},
    attention="attention attention.output_dropout attention.LayerNorm",
    feedforward="ffn ffn_output full_layer_layer_norm",
    linears=_linears("attention", "query key value dense", "ffn", "ffn_output"),
    outer_norms=("embeddings.LayerNorm",),
    entry="encoder",
)
_row(
    "modernbert",
    attention="attn attn.out_drop attn_norm",
    feedforward="mlp mlp.Wo mlp_norm",
    linears={"gate_inner": "mlp.Wi", **_linears("attn", "Wqkv Wo", outer="mlp.Wo")},
    outer_norms=("embeddings.norm", "final_norm"),
    pre_norm=True,
)

# ---- encoder-decoders

BART = _row(
    "bart",
    layers={"encoder": "encoder.layers.*", "decoder": "decoder.layers.*"},
    attention="self_attn self_attn.out_proj self_attn_layer_norm",
    cross_attention="encoder_attn encoder_attn.out_proj encoder_attn_layer_norm",
    feedforward="fc1 fc2 final_layer_norm",
    linears=_linears("self_attn", "q_proj k_proj v_proj out_proj", "fc1", "fc2", cross="encoder_attn"),
    outer_norms=tuple(f"{s}.{n}" for s in ("encoder", "decoder") for n in ("layernorm_embedding", "layer_norm")),
    heads=("classification_head.out_proj", "classifier", "qa_outputs"),
    causal=("decoder",),
)
_row("mbart pegasus", BART, pre_norm=True)
_row("whisper", BART, pre_norm=True, text=False)
_row(
    "t5 mt5 umt5",
    layers={"encoder": "encoder.block.*", "decoder": "decoder.block.*"},
    attention="layer.0.SelfAttention layer.0.dropout layer.0.layer_norm",
    cross_attention="layer.1.EncDecAttention layer.1.dropout layer.1.layer_norm",
    feedforward=tuple(f"layer.{i}.DenseReluDense layer.{i}.dropout layer.{i}.layer_norm" for i in (1, 2)),
    linears=_linears("layer.0.SelfAttention", "q k v o", cross="layer.1.EncDecAttention")
    | {
        kind: tuple(f"layer.{i}.DenseReluDense.{name}" for i in (1, 2) for name in names)
        for kind, names in {"gate": ("wi_0",), "inner": ("wi", "wi_1"), "outer": ("wo",)}.items()
    },
    outer_norms=("encoder.final_layer_norm", "decoder.final_layer_norm"),
    heads=BART.heads,
    pre_norm=True,
    causal=("decoder",),
)

# ---- decoders

DECODER = Family(pre_norm=True, causal=("layers",))
GPT2 = _row(
    "gpt2",
    DECODER,
    layers={"layers": "h.*"},
    attention="attn attn.resid_dropout ln_1",
    cross_attention="crossattention crossattention.resid_dropout ln_cross_attn",
    feedforward="mlp mlp.dropout ln_2",
    linears=_linears("attn", "c_attn c_proj", "mlp.c_fc", "mlp.c_proj"),
    outer_norms=("ln_f",),
)
_row(
    "gpt_neo",
    GPT2,
    attention="attn attn.attention.resid_dropout ln_1",
    cross_attention="",
    linears=_linears("attn.attention", "q_proj k_proj v_proj out_proj", "mlp.c_fc", "mlp.c_proj"),
    memories={},
)
_row(
    "gpt_neox",
    DECODER,
    attention="attention post_attention_dropout input_layernorm",
    feedforward="mlp post_mlp_dropout post_attention_layernorm",
    linears=_linears("attention", "query_key_value dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    outer_norms=("final_layer_norm",),
)
_row(
    "opt",
    BART,
    layers={"layers": "decoder.layers.*"},
    outer_norms=("decoder.final_layer_norm",),
    heads=("score", "qa_outputs"),
    pre_norm="do_layer_norm_before",
    causal=("layers",),
)
# Gemma 2 and 3 normalise y once more before they add it: their adapters come before that norm, as the paper's do.
LLAMA = _row(
    "llama mistral qwen2 qwen3 gemma gemma2 gemma3 gemma3_text",
    DECODER,
    layers={"layers": ("layers.*", "language_model.layers.*")},
    attention="self_attn self_attn.o_proj input_layernorm",
    feedforward="mlp mlp.down_proj post_attention_layernorm",
    linears=_linears("self_attn", "q_proj k_proj v_proj o_proj", "mlp.up_proj", "mlp.down_proj", "mlp.gate_proj"),
    more_norms=("pre_feedforward_layernorm", "post_feedforward_layernorm"),
    outer_norms=("norm", "language_model.norm"),
)
_row(
    "phi",
    LLAMA,
    attention="self_attn self_attn.dense input_layernorm",
    feedforward="mlp mlp.fc2 input_layernorm",
    linears=_linears("self_attn", "q_proj k_proj v_proj dense", "mlp.fc1", "mlp.fc2"),
    outer_norms=("final_layernorm",),
)
_row(
    "phi3",
    LLAMA,
    attention="self_attn resid_attn_dropout input_layernorm",
    feedforward="mlp resid_mlp_dropout post_attention_layernorm",
    linears={"gate_inner": "mlp.gate_up_proj", **_linears("self_attn", "qkv_proj o_proj", outer="mlp.down_proj")},
)
# BLOOM with pretraining_tp > 1 and slow_but_exact multiplies by slices of the projections and never calls them.
_row(
    "bloom falcon",
    DECODER,
    layers={"layers": "h.*"},
    attention="self_attention self_attention.dense input_layernorm",
    feedforward="mlp mlp.dense_4h_to_h post_attention_layernorm",
    linears=_linears("self_attention", "query_key_value dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    more_norms=("ln_attn", "ln_mlp"),
    outer_norms=("word_embeddings_layernorm", "ln_f"),
    memories={},
)

# ---- vision and speech

_row(
    "vit",
    attention="attention attention.o_proj layernorm_before",
    feedforward="mlp mlp.fc2 layernorm_after",
    linears=_linears("attention", "q_proj k_proj v_proj o_proj", "mlp.fc1", "mlp.fc2"),
    outer_norms=("layernorm",),
    pre_norm=True,
    text=False,
)
TOWERS = {"layers": "", "text": "text_model.", "vision": "vision_model."}
CLIP = _row(
    "clip clip_vision_model",
    layers={name: f"{tower}encoder.layers.*" for name, tower in TOWERS.items()},
    attention="self_attn self_attn.out_proj layer_norm1",
    feedforward="mlp mlp.fc2 layer_norm2",
    linears=_linears("self_attn", "q_proj k_proj v_proj out_proj", "mlp.fc1", "mlp.fc2"),
    outer_norms=tuple(
        tower + norm for tower in TOWERS.values() for norm in ("pre_layrnorm", "post_layernorm", "final_layer_norm")
    ),
    pre_norm=True,
    causal=("text",),
    text=False,
)
_row("clip_text_model", CLIP, causal=("layers",))
_row(
    "wav2vec2",
    layers={"layers": "encoder.layers.*"},
    attention="attention dropout layer_norm",
    feedforward="feed_forward feed_forward.output_dropout final_layer_norm",
    linears=_linears(
        "attention", "q_proj k_proj v_proj out_proj", "feed_forward.intermediate_dense", "feed_forward.output_dense"
    ),
    outer_norms=("feature_projection.layer_norm", "encoder.layer_norm"),
    pre_norm="do_stable_layer_norm",
    text=False,
)


def family_of(model: object) -> Family:
    """The row for this model; UserError for a family that is not in the table, which says how to go on."""
    kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    if kind not in FAMILIES:
        raise UserError(
            f'no sites are known for the model family "{kind}"{suggest(kind, FAMILIES)}; name its modules yourself, '
            'as in Adapters(model, sites={"attention": r"layers\\.\\d+\\.attn\\.out"}) (see print(tree(model))), '
            f"or use one of: {', '.join(sorted(FAMILIES))}"
        )
    return FAMILIES[kind]
