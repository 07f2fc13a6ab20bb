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

    sublayers: (kind, source, module, norm): x enters at source, y leaves at module, norm is the sub-layer's.
    layers: prefix of the sites' names -> paths of the layers, relative to the base model, "*" for the numbers.
    linears: kind -> path or paths, for LoRA and its relatives; fused projections have a kind of their own
        ("qkv", "gate_inner"), and a gated feed-forward is outer(act(gate(x)) * inner(x)).
    more_norms: on a layer's residual stream beside its sub-layers'; outer_norms: outside the layers, relative to the
        base model. Norms inside the attention (Qwen3's q_norm) are not listed: reach them by `extra`.
    heads: paths of the task head's last linear map, relative to the whole model; the first that exists counts.
    pre_norm: True where norms come before the sub-layer (no norm is then applied to y + x); or the name of the
        config's flag that says so.
    memories: kind -> path of the attention module that goes through transformers' attention interface, where keys and
        values can be added ("memory", "cross_memory"); a family whose attention computes for itself has none.
    causal: prefixes of the sites' names in which a position sees only those before it.
    text: True where the model reads tokens (and takes `inputs_embeds` in their place).
    entry: where the stream enters, relative to the base model; "" for the first layer.
    """

    sublayers: tuple[tuple[str, str, str, str | None], ...]
    layers: dict[str, str | tuple[str, ...]] = field(default_factory=lambda: {"layers": "layers.*"})
    linears: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    more_norms: tuple[str, ...] = ()
    outer_norms: tuple[str, ...] = ()
    heads: tuple[str, ...] = ("score", "classifier", "qa_outputs")
    pre_norm: bool | str = False
    memories: dict[str, str] = field(default_factory=dict)
    causal: tuple[str, ...] = ()
    text: bool = True
    entry: str = ""

    @property
    def norms(self) -> tuple[str, ...]:
        """Every norm on a layer's residual stream, once."""
        return tuple(dict.fromkeys((*(norm for *_, norm in self.sublayers if norm), *self.more_norms)))


def _linears(attention: str, names: str, inner: str = "", outer: str = "", gate: str = "", cross: str = "") -> dict:
    """kind -> path; names: "query key value output" or "fused output", below `attention` and below `cross`."""
    parts = names.split()
    kinds = ("query", "key", "value", "attention_dense") if len(parts) == 4 else ("qkv", "attention_dense")
    paths = {kind: f"{attention}.{part}" for kind, part in zip(kinds, parts, strict=True)}
    if cross:
        paths |= {f"cross_{kind}": f"{cross}.{part}" for kind, part in zip(kinds, parts, strict=True)}
    return paths | {k: p for k, p in (("gate", gate), ("inner", inner), ("outer", outer)) if p}


# ---- encoders

BERT = Family(
    layers={"layers": "encoder.layer.*"},
    sublayers=(
        ("attention", "attention", "attention.output.dropout", "attention.output.LayerNorm"),
        ("feedforward", "intermediate", "output.dropout", "output.LayerNorm"),
    ),
    linears=_linears("attention", "self.query self.key self.value output.dense", "intermediate.dense", "output.dense"),
    outer_norms=("embeddings.LayerNorm", "encoder.LayerNorm", "encoder.conv.LayerNorm"),
    heads=("classifier.out_proj", "classifier", "qa_outputs"),
    memories={"memory": "attention.self", "cross_memory": "crossattention.self"},
)

DISTILBERT = Family(
    layers={"layers": "transformer.layer.*"},
    sublayers=(
        ("attention", "attention", "attention.out_lin", "sa_layer_norm"),
        ("feedforward", "ffn", "ffn.dropout", "output_layer_norm"),
    ),
    linears=_linears("attention", "q_lin k_lin v_lin out_lin", "ffn.lin1", "ffn.lin2"),
    outer_norms=("embeddings.LayerNorm",),
    memories={"memory": "attention"},
)

# ALBERT applies one physical layer again and again: a site is "shared.0.attention", counts once, and its adapter runs
# at every application with the same weights.
ALBERT = Family(
    layers={"shared": "encoder.albert_layer_groups.*.albert_layers.*"},
    sublayers=(
        ("attention", "attention", "attention.output_dropout", "attention.LayerNorm"),
        ("feedforward", "ffn", "ffn_output", "full_layer_layer_norm"),
    ),
    linears=_linears("attention", "query key value dense", "ffn", "ffn_output"),
    outer_norms=("embeddings.LayerNorm",),
    memories={"memory": "attention"},
    entry="encoder",
)


def _bert(attention: str, names: str, **more) -> Family:
    """BERT with other projections in an attention that computes for itself."""
    linears = _linears(attention, names, "intermediate.dense", "output.dense")
    return replace(BERT, linears=linears, memories={}, **more)


MPNET = _bert(
    "attention.attn",
    "q k v o",
    sublayers=(("attention", "attention", "attention.dropout", "attention.LayerNorm"), BERT.sublayers[1]),
)

MODERNBERT = Family(
    sublayers=(("attention", "attn", "attn.out_drop", "attn_norm"), ("feedforward", "mlp", "mlp.Wo", "mlp_norm")),
    linears={"gate_inner": "mlp.Wi", **_linears("attn", "Wqkv Wo", outer="mlp.Wo")},
    outer_norms=("embeddings.norm", "final_norm"),
    pre_norm=True,
    memories={"memory": "attn"},
)

# ---- encoder-decoders

BART = Family(
    layers={"encoder": "encoder.layers.*", "decoder": "decoder.layers.*"},
    sublayers=(
        ("attention", "self_attn", "self_attn.out_proj", "self_attn_layer_norm"),
        ("cross_attention", "encoder_attn", "encoder_attn.out_proj", "encoder_attn_layer_norm"),
        ("feedforward", "fc1", "fc2", "final_layer_norm"),
    ),
    linears=_linears("self_attn", "q_proj k_proj v_proj out_proj", "fc1", "fc2", cross="encoder_attn"),
    outer_norms=tuple(f"{s}.{n}" for s in ("encoder", "decoder") for n in ("layernorm_embedding", "layer_norm")),
    heads=("classification_head.out_proj", "classifier", "qa_outputs"),
    memories={"memory": "self_attn", "cross_memory": "encoder_attn"},
    causal=("decoder",),
)

T5 = Family(
    layers={"encoder": "encoder.block.*", "decoder": "decoder.block.*"},
    sublayers=(
        ("attention", "layer.0.SelfAttention", "layer.0.dropout", "layer.0.layer_norm"),
        ("cross_attention", "layer.1.EncDecAttention", "layer.1.dropout", "layer.1.layer_norm"),
        ("feedforward", "layer.1.DenseReluDense", "layer.1.dropout", "layer.1.layer_norm"),
        ("feedforward", "layer.2.DenseReluDense", "layer.2.dropout", "layer.2.layer_norm"),
    ),
    linears=_linears("layer.0.SelfAttention", "q k v o", cross="layer.1.EncDecAttention")
    | {
        kind: tuple(f"layer.{i}.DenseReluDense.{name}" for i in (1, 2) for name in names)
        for kind, names in {"gate": ("wi_0",), "inner": ("wi", "wi_1"), "outer": ("wo",)}.items()
    },
    outer_norms=("encoder.final_layer_norm", "decoder.final_layer_norm"),
    heads=BART.heads,
    pre_norm=True,
    memories={"memory": "layer.0.SelfAttention", "cross_memory": "layer.1.EncDecAttention"},
    causal=("decoder",),
)

# ---- decoders

GPT2 = Family(
    layers={"layers": "h.*"},
    sublayers=(
        ("attention", "attn", "attn.resid_dropout", "ln_1"),
        ("cross_attention", "crossattention", "crossattention.resid_dropout", "ln_cross_attn"),
        ("feedforward", "mlp", "mlp.dropout", "ln_2"),
    ),
    linears=_linears("attn", "c_attn c_proj", "mlp.c_fc", "mlp.c_proj"),
    outer_norms=("ln_f",),
    pre_norm=True,
    memories={"memory": "attn", "cross_memory": "crossattention"},
    causal=("layers",),
)

GPT_NEO = replace(
    GPT2,
    sublayers=(("attention", "attn", "attn.attention.resid_dropout", "ln_1"), GPT2.sublayers[2]),
    linears=_linears("attn.attention", "q_proj k_proj v_proj out_proj", "mlp.c_fc", "mlp.c_proj"),
    memories={},
)

GPT_NEOX = Family(
    sublayers=(
        ("attention", "attention", "post_attention_dropout", "input_layernorm"),
        ("feedforward", "mlp", "post_mlp_dropout", "post_attention_layernorm"),
    ),
    linears=_linears("attention", "query_key_value dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    outer_norms=("final_layer_norm",),
    pre_norm=True,
    memories={"memory": "attention"},
    causal=("layers",),
)

OPT = replace(
    BART,
    layers={"layers": "decoder.layers.*"},
    outer_norms=("decoder.final_layer_norm",),
    heads=("score", "qa_outputs"),
    pre_norm="do_layer_norm_before",
    causal=("layers",),
)

# Gemma 2 and 3 normalise y once more before they add it: their adapters come before that norm, as the paper's do.
LLAMA = Family(
    layers={"layers": ("layers.*", "language_model.layers.*")},
    sublayers=(
        ("attention", "self_attn", "self_attn.o_proj", "input_layernorm"),
        ("feedforward", "mlp", "mlp.down_proj", "post_attention_layernorm"),
    ),
    linears=_linears("self_attn", "q_proj k_proj v_proj o_proj", "mlp.up_proj", "mlp.down_proj", "mlp.gate_proj"),
    more_norms=("pre_feedforward_layernorm", "post_feedforward_layernorm"),
    outer_norms=("norm", "language_model.norm"),
    pre_norm=True,
    memories={"memory": "self_attn"},
    causal=("layers",),
)

PHI = replace(
    LLAMA,
    sublayers=(
        ("attention", "self_attn", "self_attn.dense", "input_layernorm"),
        ("feedforward", "mlp", "mlp.fc2", "input_layernorm"),
    ),
    linears=_linears("self_attn", "q_proj k_proj v_proj dense", "mlp.fc1", "mlp.fc2"),
    outer_norms=("final_layernorm",),
)

PHI3 = replace(
    LLAMA,
    sublayers=(
        ("attention", "self_attn", "resid_attn_dropout", "input_layernorm"),
        ("feedforward", "mlp", "resid_mlp_dropout", "post_attention_layernorm"),
    ),
    linears={"gate_inner": "mlp.gate_up_proj", **_linears("self_attn", "qkv_proj o_proj", outer="mlp.down_proj")},
)

# BLOOM with pretraining_tp > 1 and slow_but_exact multiplies by slices of the projections and never calls them.
BLOOM = Family(
    layers={"layers": "h.*"},
    sublayers=(
        ("attention", "self_attention", "self_attention.dense", "input_layernorm"),
        ("feedforward", "mlp", "mlp.dense_4h_to_h", "post_attention_layernorm"),
    ),
    linears=_linears("self_attention", "query_key_value dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    more_norms=("ln_attn", "ln_mlp"),
    outer_norms=("word_embeddings_layernorm", "ln_f"),
    pre_norm=True,
    causal=("layers",),
)

# ---- vision and speech

VIT = Family(
    sublayers=(
        ("attention", "attention", "attention.o_proj", "layernorm_before"),
        ("feedforward", "mlp", "mlp.fc2", "layernorm_after"),
    ),
    linears=_linears("attention", "q_proj k_proj v_proj o_proj", "mlp.fc1", "mlp.fc2"),
    outer_norms=("layernorm",),
    pre_norm=True,
    memories={"memory": "attention"},
    text=False,
)

CLIP = Family(
    layers={
        "layers": "encoder.layers.*",
        "text": "text_model.encoder.layers.*",
        "vision": "vision_model.encoder.layers.*",
    },
    sublayers=(
        ("attention", "self_attn", "self_attn.out_proj", "layer_norm1"),
        ("feedforward", "mlp", "mlp.fc2", "layer_norm2"),
    ),
    linears=_linears("self_attn", "q_proj k_proj v_proj out_proj", "mlp.fc1", "mlp.fc2"),
    outer_norms=tuple(
        p + n
        for p in ("", "text_model.", "vision_model.")
        for n in ("pre_layrnorm", "post_layernorm", "final_layer_norm")
    ),
    pre_norm=True,
    memories={"memory": "self_attn"},
    causal=("text",),
    text=False,
)

WAV2VEC2 = Family(
    layers={"layers": "encoder.layers.*"},
    sublayers=(
        ("attention", "attention", "dropout", "layer_norm"),
        ("feedforward", "feed_forward", "feed_forward.output_dropout", "final_layer_norm"),
    ),
    linears=_linears(
        "attention", "q_proj k_proj v_proj out_proj", "feed_forward.intermediate_dense", "feed_forward.output_dense"
    ),
    outer_norms=("feature_projection.layer_norm", "encoder.layer_norm"),
    pre_norm="do_stable_layer_norm",
    memories={"memory": "attention"},
    text=False,
)

FAMILIES: dict[str, Family] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra"), BERT),
    "deberta": _bert("attention", "self.in_proj output.dense"),
    "deberta-v2": _bert("attention", "self.query_proj self.key_proj self.value_proj output.dense"),
    "distilbert": DISTILBERT,
    "albert": ALBERT,
    "mpnet": MPNET,
    "modernbert": MODERNBERT,
    "bart": BART,
    **dict.fromkeys(("mbart", "pegasus"), replace(BART, pre_norm=True)),
    "whisper": replace(BART, pre_norm=True, text=False),
    **dict.fromkeys(("t5", "mt5", "umt5"), T5),
    "gpt2": GPT2,
    "gpt_neo": GPT_NEO,
    "gpt_neox": GPT_NEOX,
    "opt": OPT,
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "gemma3_text"), LLAMA),
    "phi": PHI,
    "phi3": PHI3,
    **dict.fromkeys(("bloom", "falcon"), BLOOM),
    "vit": VIT,
    **dict.fromkeys(("clip", "clip_vision_model"), CLIP),
    "clip_text_model": replace(CLIP, causal=("layers",)),
    "wav2vec2": WAV2VEC2,
}


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
