"""The house rules of the package: which room may import which, how long a file's parts may be, what a folder must say.

Every rule takes the folder of a package (ours, or a broken toy) and returns sentences.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

#: Bottom to top. An import goes down or stays on its floor.
FLOORS = [
    {"__init__", "errors", "hub", "lab", "paths", "profiles", "progress"},
    {"families", "sites", "quantize"},
    {"methods"},
    {"compose"},
    {"adapter"},
    {"hooks", "special", "suits", "merge", "combine"},
    {"files"},
    {"adapters", "explain"},
    {"models", "tasks", "train"},
    {"studies"},
    {"lessons"},
    {"book"},
    {"__main__"},
]
ABOVE = {"lessons", "book", "__main__"}
HEAVY = {"plotly", "ipywidgets", "datasets", "papermill"}
LESSON = ("exercises.py", "figures.py", "views.py")
MOST = {"lines": 15_000, "library lines": 8_500, "entries": 28, "functions over 40 lines": 10, "longest function": 60}


def modules(package: Path) -> dict[str, Path]:
    """Dotted name below the package -> file; a folder's name stands for its __init__.py."""
    names = {p: p.relative_to(package).with_suffix("").parts for p in sorted(package.rglob("*.py"))}
    return {".".join(n[:-1] if len(n) > 1 and n[-1] == "__init__" else n): p for p, n in names.items()}


def room(module: str) -> str:
    return module.split(".")[0]


def _statements(tree: ast.AST, inside: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a file less those for annotations alone; inside=False: only those that run at its import."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from (s for part in node.orelse for s in _statements(ast.Module([part], []), inside))
        elif inside or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _statements(node, inside)


def imports(package: Path, inside: bool = True) -> dict[str, set[str]]:
    """Module -> what it imports: modules of the package by their names here, anything else as "torch"."""
    known, arrows = modules(package), {}
    for name, path in known.items():
        at = [*([] if name == "__init__" else name.split("."))]
        folder = at if path.name == "__init__.py" else at[:-1]
        arrows[name] = set()
        for node in _statements(ast.parse(path.read_text()), inside):
            arrows[name] |= set(_targets(node, folder, known, package.name))
        arrows[name].discard(name)
    return arrows


def _targets(node: ast.Import | ast.ImportFrom, folder: list[str], known, own: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (_ours(a.name.split("."), known, own) for a in node.names)
        return
    base = (node.module or "").split(".") if node.module else []
    if node.level:
        base = [own, *folder[: len(folder) - node.level + 1], *base]
    for alias in node.names:
        yield _ours([*base, alias.name], known, own)


def _ours(parts: list[str], known, own: str) -> str:
    """The longest beginning of a dotted name that is a module of the package, or the outer package's name."""
    if parts[0] != own:
        return parts[0]
    for end in range(len(parts), 1, -1):
        if ".".join(parts[1:end]) in known:
            return ".".join(parts[1:end])
    return "__init__"


def circles(package: Path) -> list[str]:
    """Modules, or rooms, that import one another in a ring."""
    arrows, rooms = imports(package), {}
    inner = {m: {t for t in to if t in arrows} for m, to in arrows.items()}
    for module, to in inner.items():
        rooms.setdefault(room(module), set()).update(room(t) for t in to if room(t) != room(module))
    found = []
    for graph in (inner, rooms):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            found.append(f"a circle of imports: {' <- '.join(error.args[1])}")
    return found


def climbs(package: Path) -> list[str]:
    """Imports that go up a floor, and rooms that stand on none."""
    floor = {name: i for i, names in enumerate(FLOORS) for name in names}
    arrows = imports(package)
    lost = sorted({room(m) for m in arrows} - floor.keys())
    return [f"{name} stands on no floor: give it one in tests/kit/house.py" for name in lost] + [
        f"{module} imports {to}, which is above it"
        for module, targets in arrows.items()
        for to in sorted(targets)
        if to in arrows and not {room(module), room(to)} & set(lost) and floor[room(to)] > floor[room(module)]
    ]


def lessons_inside(package: Path) -> list[str]:
    """The library works without the lessons and the book."""
    return [
        f"{module} imports {to}"
        for module, targets in imports(package).items()
        for to in sorted(targets)
        if room(module) not in ABOVE and room(to) in ABOVE
    ]


def heavy(package: Path) -> list[str]:
    """Packages that only lessons, the headless run or one reader needs are not loaded with the library."""
    return [
        f"{module} imports {to} when it is imported"
        for module, targets in imports(package, inside=False).items()
        for to in sorted(targets & HEAVY)
        if room(module) not in ABOVE
    ]


def folders(package: Path) -> list[str]:
    """Every folder says in a docstring what lives in it, and every lesson has its three files."""
    found = []
    for folder in sorted(p for p in [package, *package.rglob("*")] if p.is_dir() and p.name != "__pycache__"):
        name, start = folder.relative_to(package.parent), folder / "__init__.py"
        if not start.exists() or not ast.get_docstring(ast.parse(start.read_text())):
            found.append(f"{name}/__init__.py does not say what lives in this folder")
        if folder.parent.name == "lessons" and folder.name.startswith("nb"):
            found += [f"{name} has no {file}" for file in LESSON if not (folder / file).exists()]
    return found


def functions(package: Path) -> dict[str, int]:
    """Lines of every function, its inner ones and its decorators' lines not counted apart."""
    return {
        f"{path.relative_to(package.parent)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for path in modules(package).values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def figures(package: Path) -> dict[str, int]:
    """What the bars of MOST are held against."""
    lines = {module: len(path.read_text().splitlines()) for module, path in modules(package).items()}
    lengths = functions(package).values()
    return {
        "lines": sum(lines.values()),
        "library lines": sum(n for module, n in lines.items() if room(module) not in {"lessons", "book"}),
        "entries": sum(p.name != "__pycache__" for p in package.iterdir()),
        "functions over 40 lines": sum(n > 40 for n in lengths),
        "longest function": max(lengths, default=0),
    }
