"""One short file a method: a frozen config and the module it builds, y' = method(x, y) at a site."""

from .adapterdrop import drop_layers, robust_training
from .base import METHODS, Method, from_dict, table
from .bitfit import BitFitConfig, Shift
from .bottleneck import Bottleneck, BottleneckConfig
from .compacter import Compacter, CompacterConfig
from .dora import DoRA, DoRAConfig
from .fusion import Fusion, FusionConfig
from .gate import Gate, Gated
from .head import Head, HeadConfig
from .ia3 import IA3Config, Scale
from .invertible import Coupling, Invertible, InvertibleConfig
from .kadapter import KAdapterConfig, KLayer
from .layernorm import LayerNormConfig, ScaleShift
from .lora import LoRA, LoRAConfig
from .parallel import Parallel, ParallelConfig
from .pfeiffer import Pfeiffer, PfeifferConfig
from .prefix_tuning import PrefixTuning, PrefixTuningConfig
from .prompt_tuning import Prompt, PromptTuningConfig
from .recipes import houlsby, language, mix_and_match, unipelt
from .reft import LoReFT, LoReFTConfig
from .variants import Variant, VariantConfig
from .vera import VeRA, VeRAConfig

__all__ = [
    "METHODS",
    "BitFitConfig",
    "Bottleneck",
    "BottleneckConfig",
    "Compacter",
    "CompacterConfig",
    "Coupling",
    "DoRA",
    "DoRAConfig",
    "Fusion",
    "FusionConfig",
    "Gate",
    "Gated",
    "Head",
    "HeadConfig",
    "IA3Config",
    "Invertible",
    "InvertibleConfig",
    "KAdapterConfig",
    "KLayer",
    "LayerNormConfig",
    "LoRA",
    "LoRAConfig",
    "LoReFT",
    "LoReFTConfig",
    "Method",
    "Parallel",
    "ParallelConfig",
    "Pfeiffer",
    "PfeifferConfig",
    "PrefixTuning",
    "PrefixTuningConfig",
    "Prompt",
    "PromptTuningConfig",
    "Scale",
    "ScaleShift",
    "Shift",
    "Variant",
    "VariantConfig",
    "VeRA",
    "VeRAConfig",
    "drop_layers",
    "from_dict",
    "houlsby",
    "language",
    "mix_and_match",
    "robust_training",
    "table",
    "unipelt",
]
