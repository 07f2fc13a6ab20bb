"""The time of a generated token: without an adapter, with LoRA merged and beside the weights, with a bottleneck.

python benchmarks/generate.py [--base smollm2] [--tokens 64] [--rounds 7] [--prompts 1]

The ways take turns, round after round; medians, and what each adds to the bare model. The bar: LoRA merged, 2%.
"""

import argparse
import statistics
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="smollm2", help='"smollm2", "tiny-decoder", a folder or a GGUF file')
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--prompts", type=int, default=1, help="rows of the batch")
    args = parser.parse_args()
    import torch

    from adapterlab import Adapters, load_base
    from adapterlab.lab import device_name, pick_device
    from adapterlab.methods import BottleneckConfig, LoRAConfig

    device = pick_device()
    model, _ = load_base(args.base, head="causal")
    adapters = Adapters(model)
    adapters.add("lora", LoRAConfig(rank=4), seed=0)
    adapters.add("bottleneck", BottleneckConfig(size=64), seed=0)
    ids = torch.randint(100, 1000, (args.prompts, 16), generator=torch.Generator().manual_seed(0)).to(device)

    def token_ms(way: str) -> float:
        """Milliseconds a token; min_new_tokens: no end token cuts it short."""
        if way == "LoRA, merged":
            adapters.merge("lora")
        adapters.activate({"LoRA": "lora", "bottleneck": "bottleneck"}.get(way))
        start = time.perf_counter()
        model.generate(ids, max_new_tokens=args.tokens, min_new_tokens=args.tokens, do_sample=False, pad_token_id=0)
        if device.type == "cuda":
            torch.cuda.synchronize()
        spent = time.perf_counter() - start
        if way == "LoRA, merged":
            adapters.unmerge()
        return 1000 * spent / args.tokens

    ways = ("bare", "LoRA, merged", "LoRA", "bottleneck")
    times = {way: [] for way in ways}
    for turn in range(args.rounds + 1):  # the first warms up
        for way in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
            times[way].append(token_ms(way))
    print(f"{args.base}, {device_name(device)}, torch {torch.__version__}: {args.tokens} tokens, {args.prompts} row(s)")
    bare = times["bare"][1:]
    for way in ways:
        added = statistics.median(100 * (a / b - 1) for a, b in zip(times[way][1:], bare, strict=True))
        print(f"{way:<13} {statistics.median(times[way][1:]):8.2f} ms a token, {added:+.1f}% in the median round")


if __name__ == "__main__":
    main()
