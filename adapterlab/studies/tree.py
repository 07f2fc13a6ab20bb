"""The tree of a model's modules with its sites and what is attached to them, as text."""

from torch import nn

from ..adapter import CHILD, base_count
from ..adapters import Adapters
from ..errors import UserError, suggest
from ..sites import find_sites
from ..special import SPECIAL

TEE, ELBOW, BAR, GAP = "├─ ", "└─ ", "│  ", "   "
AT = " <- "  # before what is attached


def tree(model: nn.Module | Adapters, leaves: bool = False, only: str | None = None, unfold: str | None = None) -> str:
    """One line a module: its name, class and parameters, its sites, and the adapters at them. Print it.

    model: a model, or the Adapters on one. leaves: show modules without a site, too. Neighbours in a list that look
    the same are one line, "0-5 (6 x)". A model of unknown family is shown without sites, with all its modules.
    only: one adapter's name, to show what it attaches and nothing else; None: all of them.
    unfold: the path of a module that is shown by itself (see `repeated`), with all that is in it and full site names.
    Marks: "[attention]" is a site of that kind whose y leaves here; "x of attention" where only its x enters. Sites
    whose y is no module's output (see `sites.Site.form`) are marked where something is attached to them, or unfolded.
    "<- movies: bottleneck (84)" is an adapter, its method, its parameters here; at the root, those its sites share.
    Errors: UserError for an adapter or a module that the model does not have.
    """
    adapters, whole = (model, model.model) if isinstance(model, Adapters) else (None, model)
    paths = dict(whole.named_modules())
    if unfold is not None and unfold not in paths:
        raise UserError(f'this model has no module "{unfold}"{suggest(unfold, paths)}')
    try:
        sites = find_sites(whole) if adapters is None else adapters.sites
    except ValueError:
        sites, leaves = {}, True
    at, shared = _attached(adapters, only)
    marks: dict[str, list[str]] = {}
    for site in sites.values():
        alone = _within(site.module, unfold)
        attached = at.get(site.name)
        if site.form in SPECIAL and not attached and not alone:
            continue
        label = site.name if alone else site.kind
        marks.setdefault(site.module, []).append(f"[{label}]" + (AT + "; ".join(attached) if attached else ""))
        if site.source != site.module:
            marks.setdefault(site.source, []).append(f"x of {label}")
    root = f"{type(whole).__name__} ({base_count(whole):,})" + (AT + "; ".join(shared) if shared else "")
    return "\n".join([root, *_lines(whole, "", marks, leaves, unfold)])


def repeated(model: nn.Module | Adapters) -> list[str]:
    """Paths of the numbered modules with a site in them, the outermost only: "encoder.layer.0" and its like.

    Errors: UserError for a bare model of unknown family.
    """
    sites = model.sites if isinstance(model, Adapters) else find_sites(model)
    layers: dict[str, None] = {}
    for site in sites.values():
        parts = site.module.split(".")
        number = next((i for i, part in enumerate(parts) if part.isdigit()), None)
        if number is not None:
            layers[".".join(parts[: number + 1])] = None
    return list(layers)


def _attached(adapters: Adapters | None, only: str | None) -> tuple[dict[str, list[str]], list[str]]:
    """(site -> what is attached there, what sites share), each as "movies: bottleneck (84)"."""
    at: dict[str, list[str]] = {}
    shared = []
    if adapters is None:
        if only is not None:
            raise UserError(f'a bare model has no adapter "{only}"; give the Adapters on it')
        return at, shared
    for name in adapters if only is None else [only]:
        adapter = adapters[name]
        methods = {module: path.rpartition(".")[2] for path, module in adapter.named_modules()}
        for site, modules in adapter.at.items():
            shown = (f"{methods.get(m, type(m).__name__)} ({base_count(m):,})" for m in modules)
            at.setdefault(site, []).append(f"{name}: {', '.join(shown)}")
        common = adapter._modules.get("common", nn.Module()).named_children()
        trained = [f"{method} ({base_count(m):,})" for method, m in common if base_count(m)]
        if trained:
            shared.append(f"{name}, shared by its sites: {', '.join(trained)}")
    return at, shared


def _lines(module: nn.Module, path: str, marks: dict[str, list[str]], leaves: bool, unfold: str | None) -> list[str]:
    """The lines below a module, without the module itself. marks: path -> its sites, as they are shown."""
    blocks: list[list] = []  # first and last name of what is folded, its lines, does it stand alone?
    for name, child in module.named_children():
        full = f"{path}.{name}" if path else name
        wanted = leaves or _within(full, unfold) or any(_within(p, full) for p in (*marks, unfold))
        if name == CHILD or not wanted:
            continue
        text = "  ".join([f"{type(child).__name__} ({base_count(child):,})", *marks.get(full, ())])
        body = [text, *_lines(child, full, marks, leaves, unfold)]
        alone = full == unfold
        if blocks and name.isdigit() and blocks[-1][2:] == [body, False] and not alone:
            blocks[-1][1] = name
        else:
            blocks.append([name, name, body, alone])
    lines = []
    for i, (first, last, body, _) in enumerate(blocks):
        label = first if first == last else f"{first}-{last} ({int(last) - int(first) + 1} x)"
        head, rest = (ELBOW, GAP) if i == len(blocks) - 1 else (TEE, BAR)
        lines += [f"{head}{label}: {body[0]}", *(rest + line for line in body[1:])]
    return lines


def _within(path: str | None, outer: str | None) -> bool:
    """Is this module the outer one, or in it?"""
    return path is not None and outer is not None and (path == outer or path.startswith(outer + "."))
