"""One short file a method: a frozen config and the module it builds, y' = method(x, y) at a site."""

from .base import METHODS, Method, from_dict
from .bottleneck import Bottleneck, BottleneckConfig
from .fusion import Fusion, FusionConfig
from .head import Head, HeadConfig
from .layernorm import LayerNormConfig, ScaleShift
from .variants import Variant, VariantConfig

__all__ = [
    "METHODS",
    "Bottleneck",
    "BottleneckConfig",
    "Fusion",
    "FusionConfig",
    "Head",
    "HeadConfig",
    "LayerNormConfig",
    "Method",
    "ScaleShift",
    "Variant",
    "VariantConfig",
    "from_dict",
    "houlsby",
]


def houlsby(size: int = 64, std: float = 1e-2, **settings) -> tuple[Method, ...]:
    """The recipe of Houlsby et al. 2019 (sections 2.1 and 3.1), without the head: add it with `head=`.

    Two bottlenecks a layer and every LayerNorm are trained; the pooler and everything else stay frozen.
    Follows the paper's text where its published code differs: std 1e-2 (code: 1e-3, `houlsby(std=1e-3)`).
    """
    return BottleneckConfig(size=size, std=std, **settings), LayerNormConfig()
