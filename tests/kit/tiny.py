"""A tiny random model of every family, with inputs for it: no network, milliseconds."""

import re

import torch
import transformers as T
from transformers import AutoConfig

SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
TEXT = dict(
    SIZES, vocab_size=60, max_position_embeddings=40, pad_token_id=0, num_labels=3, eos_token_id=2, bos_token_id=1
)
ROBERTA = dict(TEXT, pad_token_id=1, bos_token_id=0)
GROUPED = dict(TEXT, num_key_value_heads=1, head_dim=8)
TOKENS = dict(vocab_size=60, num_labels=3, pad_token_id=0, bos_token_id=1, eos_token_id=2)
BART = dict(
    TOKENS, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
    encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=40, decoder_start_token_id=2,
)  # fmt: skip
T5 = dict(
    TOKENS, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_decoder_layers=2, num_heads=2, decoder_start_token_id=0
)
DEBERTA = dict(TEXT, relative_attention=True, pos_att_type=["p2c", "c2p"], max_relative_positions=8)
VISION = dict(SIZES, image_size=8, patch_size=4)
AUDIO = dict(
    SIZES, vocab_size=20, conv_dim=(8, 8), conv_kernel=(3, 3), conv_stride=(2, 2), num_feat_extract_layers=2,
    num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, classifier_proj_size=8, mask_time_prob=0.0, num_labels=3,
)  # fmt: skip

# case -> (model_type, settings, class or None for AutoModelForSequenceClassification)
CASES = {
    "bert": ("bert", TEXT, None),
    "roberta": ("roberta", ROBERTA, None),
    "xlm-roberta": ("xlm-roberta", ROBERTA, None),
    "camembert": ("camembert", ROBERTA, None),
    "electra": ("electra", dict(TEXT, embedding_size=8), None),
    "distilbert": ("distilbert", dict(TOKENS, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=40), None),
    "albert": ("albert", dict(TEXT, embedding_size=8, num_hidden_layers=3), None),
    "albert, two groups": ("albert", dict(TEXT, embedding_size=8, num_hidden_layers=4, num_hidden_groups=2), None),
    "deberta": ("deberta", DEBERTA, None),
    "deberta-v2": ("deberta-v2", DEBERTA, None),
    "deberta-v3": ("deberta-v2", dict(DEBERTA, norm_rel_ebd="layer_norm", share_att_key=True, position_buckets=4), None),
    "mpnet": ("mpnet", ROBERTA, None),
    "modernbert": ("modernbert", dict(TEXT, local_attention=8, cls_token_id=1, sep_token_id=2), None),
    "bart": ("bart", BART, None),
    "mbart": ("mbart", BART, None),
    "pegasus": ("pegasus", BART, T.PegasusForConditionalGeneration),
    "t5": ("t5", T5, None),
    "t5, gated": ("t5", dict(T5, feed_forward_proj="gated-gelu"), T.T5ForConditionalGeneration),
    "t5, encoder": ("t5", T5, T.T5EncoderModel),
    "mt5": ("mt5", T5, None),
    "umt5": ("umt5", T5, None),
    "gpt2": ("gpt2", dict(TOKENS, n_embd=16, n_layer=2, n_head=2, n_positions=40), None),
    "gpt2, generating": ("gpt2", dict(TOKENS, n_embd=16, n_layer=2, n_head=2, n_positions=40), T.GPT2LMHeadModel),
    "gpt_neo": ("gpt_neo", dict(TOKENS, hidden_size=16, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]], max_position_embeddings=40), None),
    "gpt_neox": ("gpt_neox", TEXT, None),
    "gpt_neox, sequential": ("gpt_neox", dict(TEXT, use_parallel_residual=False), None),
    "opt": ("opt", dict(TOKENS, hidden_size=16, word_embed_proj_dim=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=32, max_position_embeddings=40), None),
    "opt, post-norm": ("opt", dict(TOKENS, hidden_size=16, word_embed_proj_dim=8, num_hidden_layers=2, num_attention_heads=2, ffn_dim=32, max_position_embeddings=40, do_layer_norm_before=False), None),
    **{name: (name, GROUPED, None) for name in ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")},
    "gemma3, with vision": ("gemma3", dict(text_config=GROUPED, vision_config=VISION), T.Gemma3ForConditionalGeneration),
    "phi": ("phi", TEXT, None),
    "phi3": ("phi3", dict(TEXT, num_key_value_heads=1), None),
    "bloom": ("bloom", dict(TOKENS, hidden_size=16, n_layer=2, n_head=2), None),
    "falcon": ("falcon", dict(TOKENS, hidden_size=16, num_hidden_layers=2, num_attention_heads=2), None),
    "falcon, new": ("falcon", dict(TOKENS, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, new_decoder_architecture=True, num_kv_heads=1), None),
    "falcon, sequential": ("falcon", dict(TOKENS, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, parallel_attn=False, alibi=True), None),
    "vit": ("vit", dict(VISION, num_labels=3), T.ViTForImageClassification),
    "clip vision": ("clip_vision_model", VISION, T.CLIPVisionModel),
    "clip": ("clip", dict(vision_config=dict(VISION, hidden_size=24), text_config=TEXT), T.CLIPModel),
    "whisper": ("whisper", dict(BART, num_mel_bins=4, max_source_positions=10, max_target_positions=20), T.WhisperForConditionalGeneration),
    "whisper, classifying": ("whisper", dict(BART, num_mel_bins=4, max_source_positions=10, classifier_proj_size=8), T.WhisperForAudioClassification),
    "wav2vec2": ("wav2vec2", AUDIO, T.Wav2Vec2ForSequenceClassification),
    "wav2vec2, pre-norm": ("wav2vec2", dict(AUDIO, do_stable_layer_norm=True), T.Wav2Vec2ForSequenceClassification),
}  # fmt: skip

DECODERS = [case for case in CASES if re.match("gpt|opt|llama|mistral|qwen|gemma(?!3, )|phi|bloom|falcon", case)]
DECODERS.remove("gpt2, generating")


def model(case: str, seed: int = 0, causal: bool = False):
    """The case's model in eval mode, with weights large enough that every path through it counts.

    causal: with a language-model head in place of the case's own.
    """
    kind, settings, cls = CASES[case]
    config = AutoConfig.for_model(kind, **settings)
    torch.manual_seed(seed)
    auto = T.AutoModelForCausalLM if causal else T.AutoModelForSequenceClassification
    built = cls(config) if cls else auto.from_config(config)
    with torch.no_grad():
        for p in built.parameters():
            if p.ndim > 1:
                p.normal_(0, 0.2)
    return built.eval()


def inputs(model, seed: int = 0) -> dict:
    """What `model(**inputs)` takes: two rows of six tokens, or pixels, or sound."""
    g = torch.Generator().manual_seed(seed)
    kind = model.config.model_type
    tokens = torch.randint(3, 60, (2, 6), generator=g)
    tokens[:, -1] = 2
    text = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    pixels = {"pixel_values": torch.randn(2, 3, 8, 8, generator=g)}
    if kind in ("vit", "clip_vision_model"):
        return pixels
    if kind == "clip":
        tokens[:, -1] = 59  # the text is read where the highest id stands; the first token attends to itself alone
        return text | pixels
    if kind == "wav2vec2":
        return {"input_values": torch.randn(2, 200, generator=g)}
    if kind == "whisper":
        sound = {"input_features": torch.randn(2, 4, 20, generator=g)}
        return sound if type(model).__name__.endswith("Classification") else sound | {"decoder_input_ids": tokens}
    if type(model).__name__.endswith("ConditionalGeneration") and model.config.is_encoder_decoder:
        return text | {"decoder_input_ids": tokens}
    return text


def output(model, batch: dict) -> torch.Tensor:
    """All float outputs of a forward pass in one vector."""
    found = [v for v in model(**batch).to_tuple() if isinstance(v, torch.Tensor) and v.is_floating_point()]
    return torch.cat([v.flatten() for v in found])
