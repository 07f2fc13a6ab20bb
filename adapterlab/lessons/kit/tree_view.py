"""The tree of a model: where its sites are, and what each adapter attaches to them."""

import html

from ...adapters import Adapters
from ...studies.tree import AT, repeated, tree
from . import view as base

BOX = "max-height: 560px; overflow: auto; line-height: 1.25; padding: 4px"


class Listing:
    """A tree as a figure: text where there is no page, else one box that the arrow keys scroll.

    Lines with something attached are bold; their arrow says the same.
    """

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        lines = (html.escape(line) for line in self.text.splitlines())
        shown = "\n".join(f"<b>{line}</b>" if html.escape(AT) in line else line for line in lines)
        return f'<pre role="region" aria-label="tree of the model" tabindex="0" style="{BOX}">{shown}</pre>'


def tell(adapters: Adapters, only: str | None = None) -> str:
    """One line: each adapter with its methods, parameters and sites. only: one adapter's name; None: all."""
    parts = [
        f"{row['adapter']}: {row['methods']}, {row['parameters']:,} parameters at {row['sites']} sites"
        for row in adapters.summary()
        if only in (None, row["adapter"])
    ]
    of = f"{type(adapters.model).__name__} has {len(adapters.sites)} sites"
    return f"{of}; {'; '.join(parts) or 'nothing is attached'}"


def tree_view(adapters: Adapters, first: str | None = None) -> base.FigureView:
    """The widget; its controls are `.adapter` (None: everything) and `.layer` (a path of `repeated`; None: all folded).

    first: the adapter that it begins with. It offers the adapters at hand when the view is made.
    Errors: UserError when `first` is not among them.
    """

    if first is not None:
        adapters[first]

    def draw(adapter: str | None, layer: str | None) -> tuple[Listing, str]:
        return Listing(tree(adapters, only=adapter, unfold=layer)), tell(adapters, adapter)

    return base.FigureView(
        draw,
        adapter=base.choice("adapter", [("everything", None), *((name, name) for name in adapters)], first),
        layer=base.choice("unfold a layer", [("none", None), *((path, path) for path in repeated(adapters))]),
    )
