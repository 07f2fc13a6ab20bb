"""One small config of every method, for models 16 wide and tests that hold for them all."""

from adapterlab.methods import (
    BitFitConfig,
    BottleneckConfig,
    CompacterConfig,
    DoRAConfig,
    IA3Config,
    InvertibleConfig,
    KAdapterConfig,
    LayerNormConfig,
    LoRAConfig,
    LoReFTConfig,
    ParallelConfig,
    PfeifferConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    VariantConfig,
    VeRAConfig,
)

EVERY = {
    "bottleneck": BottleneckConfig(size=3),
    "variant": VariantConfig(size=3, norm="layer", depth=2, place="parallel"),
    "pfeiffer": PfeifferConfig(size=3),
    "parallel": ParallelConfig(size=3),
    "compacter": CompacterConfig(size=4, n=2),
    "layernorm": LayerNormConfig(),
    "lora": LoRAConfig(rank=2),
    "dora": DoRAConfig(rank=2),
    "vera": VeRAConfig(rank=4),
    "ia3": IA3Config(),
    "bitfit": BitFitConfig(),
    "loreft": LoReFTConfig(rank=2, first=None),
    "prefix_tuning": PrefixTuningConfig(length=3, hidden=4),
    "prompt_tuning": PromptTuningConfig(length=3),
    "invertible": InvertibleConfig(),
    "kadapter": KAdapterConfig(size=4, heads=2, inner=8),
}
