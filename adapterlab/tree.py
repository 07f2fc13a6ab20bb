"""The tree of a model's modules with its sites and what is attached to them, as text."""

from torch import nn

from .adapters import CHILD, Adapters
from .hooks import SPECIAL
from .sites import find_sites

TEE, ELBOW, BAR, GAP = "├─ ", "└─ ", "│  ", "   "


def tree(model: nn.Module | Adapters, leaves: bool = False) -> str:
    """One line a module: its name, class and parameters, its sites, and the adapters at them. Print it.

    model: a model, or the Adapters on one. leaves: show modules without a site, too. Neighbours in a list that look
    the same are one line, "0-5 (6 x)". A model of unknown family is shown without sites, with all its modules.
    Marks: "[attention]" is a site of that kind whose y leaves here; "x of attention" where only its x enters. Sites whose
    y is no module's output (see `sites.Site.form`) are marked where something is attached to them.
    """
    adapters = model if isinstance(model, Adapters) else None
    model = adapters.model if adapters else model
    try:
        sites = adapters.sites if adapters else find_sites(model)
    except ValueError:
        sites, leaves = {}, True
    marks: dict[str, list[str]] = {}
    for site in sites.values():
        attached = [
            f"{name}: {', '.join(type(m).__name__ for m in adapter.at[site.name])}"
            for name, adapter in (adapters.store.items() if adapters else ())
            if site.name in adapter.at
        ]
        if site.form in SPECIAL and not attached:
            continue
        marks.setdefault(site.module, []).append(
            f"[{site.kind}]" + (f" <- {'; '.join(attached)}" if attached else "")
        )
        if site.source != site.module:
            marks.setdefault(site.source, []).append(f"x of {site.kind}")
    root = f"{type(model).__name__} ({_count(model):,})"
    return "\n".join([root, *_lines(model, "", marks, leaves)])


def _lines(module: nn.Module, path: str, marks: dict, leaves: bool) -> list[str]:
    """The lines below a module, without the module itself."""
    blocks = []
    for name, child in module.named_children():
        full = f"{path}.{name}" if path else name
        if name == CHILD or not (leaves or any(p == full or p.startswith(full + ".") for p in marks)):
            continue
        text = "  ".join([f"{type(child).__name__} ({_count(child):,})", *marks.get(full, ())])
        body = [text, *_lines(child, full, marks, leaves)]
        if blocks and name.isdigit() and blocks[-1][2] == body:
            blocks[-1][1] = name
        else:
            blocks.append([name, name, body])
    lines = []
    for i, (first, last, body) in enumerate(blocks):
        label = first if first == last else f"{first}-{last} ({int(last) - int(first) + 1} x)"
        head, rest = (ELBOW, GAP) if i == len(blocks) - 1 else (TEE, BAR)
        lines += [f"{head}{label}: {body[0]}", *(rest + line for line in body[1:])]
    return lines


def _count(module: nn.Module) -> int:
    """Parameters of a module without the adapters that hang on it."""
    return sum(p.numel() for n, p in module.named_parameters() if not n.startswith(CHILD + "."))
