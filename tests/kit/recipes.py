"""One small config of every method, for models 16 wide and tests that hold for them all."""

from adapterlab import methods

EVERY = {
    "bottleneck": methods.BottleneckConfig(size=3),
    "variant": methods.VariantConfig(size=3, norm="layer", depth=2, place="parallel"),
    "pfeiffer": methods.PfeifferConfig(size=3),
    "parallel": methods.ParallelConfig(size=3),
    "compacter": methods.CompacterConfig(size=4, n=2),
    "layernorm": methods.LayerNormConfig(),
    "lora": methods.LoRAConfig(rank=2),
    "dora": methods.DoRAConfig(rank=2),
    "vera": methods.VeRAConfig(rank=4),
    "shira": methods.SHiRAConfig(rank=2),
    "oft": methods.OFTConfig(size=4),
    "ia3": methods.IA3Config(),
    "bitfit": methods.BitFitConfig(),
    "loreft": methods.LoReFTConfig(rank=2, first=None),
    "prefix_tuning": methods.PrefixTuningConfig(length=3, hidden=4),
    "prompt_tuning": methods.PromptTuningConfig(length=3),
    "invertible": methods.InvertibleConfig(),
    "kadapter": methods.KAdapterConfig(size=4, heads=2, inner=8),
}
