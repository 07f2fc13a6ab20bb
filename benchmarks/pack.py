"""Pack a model and the data into one folder, for `record.py` on a machine that has neither.

python benchmarks/pack.py OUT [--base minilm] [--glue GLUE_ROOT] [--shard-mb 60]

OUT/<base>/ is the model in half precision (loaded to float32 again) with its tokenizer, OUT/rotten_tomatoes/ the
splits as JSON lines, OUT/glue/ copies of the GLUE files.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch

from adapterlab.models import load_base, locate
from adapterlab.tasks import load_task
from adapterlab.tasks.glue import GLUE, glue_name


def pack_model(base: str, out: Path, shard_mb: int) -> None:
    model, _ = load_base(base, head="none", device="cpu", dtype=torch.float16)
    model.save_pretrained(out, max_shard_size=f"{shard_mb}MB")
    source = Path(locate(base))
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (source / name).is_file():
            shutil.copy(source / name, out / name)


def pack_task(name: str, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    task = load_task(name)
    for split, rows in task.splits.items():
        lines = (json.dumps({"text": t, "label": task.labels[l]}) for t, l in zip(rows.texts, rows.labels, strict=True))
        (out / f"{split}.jsonl").write_text("\n".join(lines) + "\n")


def pack_glue(root: Path, out: Path) -> None:
    for folder in sorted(root.iterdir()):
        task = glue_name(folder.name)
        if folder.is_dir() and task:
            (out / task).mkdir(parents=True, exist_ok=True)
            for name in ("train.tsv", *GLUE[task].dev):
                if (folder / name).is_file():
                    shutil.copyfile(folder / name, out / task / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", default="minilm", help='"minilm", or a model folder; "" for none')
    parser.add_argument("--glue", type=Path)
    parser.add_argument("--shard-mb", type=int, default=60)
    args = parser.parse_args()
    if args.base:
        pack_model(args.base, args.out / Path(args.base).name, args.shard_mb)
    pack_task("rotten_tomatoes", args.out / "rotten_tomatoes")
    if args.glue:
        pack_glue(args.glue, args.out / "glue")
    for path in sorted(args.out.iterdir()):
        print(f"{path.name}: {sum(f.stat().st_size for f in path.rglob('*') if f.is_file()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
