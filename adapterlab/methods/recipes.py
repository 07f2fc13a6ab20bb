"""Known combinations of methods: tuples of configs, as `Adapters.add` takes them."""

from .base import Method
from .bottleneck import BottleneckConfig
from .invertible import InvertibleConfig
from .layernorm import LayerNormConfig
from .lora import LoRAConfig
from .parallel import ParallelConfig
from .pfeiffer import PfeifferConfig
from .prefix_tuning import PrefixTuningConfig


def houlsby(size: int = 64, std: float = 1e-2, **settings) -> tuple[Method, ...]:
    """The recipe of Houlsby et al. 2019 (sections 2.1 and 3.1), without the head: add it with `head=`.

    Two bottlenecks a layer and every LayerNorm are trained; the pooler and everything else stay frozen.
    Follows the paper's text where its published code differs: std 1e-2 (code: 1e-3, `houlsby(std=1e-3)`).
    """
    return BottleneckConfig(size=size, std=std, **settings), LayerNormConfig()


def mix_and_match(size: int = 64, length: int = 30, hidden: int = 512) -> tuple[Method, ...]:
    """The MAM adapter of He et al. 2022, section 4.6: a short prefix at the attention, a wide scaled parallel adapter
    at the feed-forward (512 in the paper, s = 4)."""
    return PrefixTuningConfig(length=length, hidden=hidden), ParallelConfig(size=size, scale=4.0)


def unipelt(rank: int = 8, length: int = 10, size: int = 48, hidden: int = 512) -> tuple[Method, ...]:
    """UniPELT: Mao et al. 2022, section 3: LoRA, a prefix and an adapter in every layer, each behind its gate."""
    return (
        LoRAConfig(rank=rank, alpha=2, gated=True),
        PrefixTuningConfig(length=length, hidden=hidden, gated=True),
        PfeifferConfig(size=size, gated=True),
    )


def language(size: int = 192) -> tuple[Method, ...]:
    """A language adapter of MAD-X: Pfeiffer et al. 2020, section 4.2: Pfeiffer adapters (half as wide as the model)
    and the invertible one. Train it on a language model; then train a task's adapter b on Stack(language, b)."""
    return PfeifferConfig(size=size), InvertibleConfig()
