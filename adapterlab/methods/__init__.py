"""What changes: one short file a method, a frozen config and the `Change` it builds, y' = method(x, y) at a site.

base.py holds the contract of both. A method is given all it needs: it imports the ground, sites and quantize, and knows
nothing of adapters, hooks, tasks or training. Beside the methods stand gate.py (UniPELT's, inside several of them),
recipes.py (known combinations) and adapterdrop.py (layers left out).
"""

from .adapterdrop import drop_layers, robust_training
from .base import METHODS, Change, Method, from_dict
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
from .lora import LoRA, LoRAConfig, StartedLoRA
from .oft import OFT, OFTConfig
from .parallel import ParallelConfig, ScaledParallel
from .pfeiffer import Pfeiffer, PfeifferConfig
from .prefix_tuning import PrefixTuning, PrefixTuningConfig
from .prompt_tuning import Prompt, PromptTuningConfig
from .recipes import houlsby, language, mix_and_match, unipelt
from .reft import LoReFT, LoReFTConfig
from .shira import SHiRA, SHiRAConfig
from .variants import Variant, VariantConfig
from .vera import VeRA, VeRAConfig
