"""A small notebook that keeps every convention; the tests break it in one place at a time."""

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

SETUP = """from types import SimpleNamespace

from adapterlab.lessons.kit.exercise import exercise
from adapterlab.lab import setup

lab = setup(PROFILE, SEED)
twice = exercise("00a", "x", "2 * x", [(5,)], "3 * x  # you tripled it")
half = exercise("00b", "x", "x / 2", [(5,)])
check = SimpleNamespace(double=twice, half=half, quiz=lambda number, answers: None)"""

WIDGET = """import ipywidgets

from adapterlab.lessons.kit import theme
from adapterlab.lessons.kit import view as base


def draw(size, task, scale, sign, grid, name, n):
    y = [size * x + n for x in range(5)]
    fig = theme.figure(title=f"{task} {name}", height=300)
    fig.add_scatter(x=theme.f32(range(5)), y=theme.f32(y), **theme.series("live", sign))
    fig.update_yaxes(type=scale, showgrid=grid)
    return fig, f"{size} {task} {scale} {sign} {grid} {name} {n}"


view = base.FigureView(
    draw,
    height=300,
    size=base.slider("size", 3, 1, 9),
    task=base.choice("task", ["a", "b"]),
    scale=base.toggles("scale", ["linear", "log"]),
    sign=ipywidgets.RadioButtons(options=["plus", "minus"]),
    grid=ipywidgets.Checkbox(True, description="grid"),
    name=base.text("name", "x"),
    n=ipywidgets.IntText(1),
)
view"""

PRESS = """count = iter(range(99))
pressed = base.FigureView(
    lambda word: (None, f"{word} {next(count)}"),
    press="go",
    height=0,
    word=base.text("word", "w"),
    go=base.button("Go"),
)
pressed"""

SCREEN = new_output("display_data", {"text/plain": "3 a linear", "image/png": "iVBORw0KGgo="})
FIGURE = new_output(
    "display_data",
    {"application/vnd.plotly.v1+json": {"data": [], "layout": {}}, "image/png": "iVBORw0KGgo=", "text/plain": "Figure"},
)


def _code(source, text=None, tag=None, outputs=()):
    outs = [new_output("stream", name="stdout", text=text)] if text else []
    return new_code_cell(source, outputs=[*outs, *outputs], metadata={"tags": [tag]} if tag else {})


def _stub(ident, name, wrong):
    return _code(
        f"def {name}(x):\n    ...\n\n\n{name} = check.{name}({name})\n",
        f"exercise {ident}: not attempted, using the reference\n",
        f"exercise-{ident}",
    )


def _solution(ident, code):
    hints = "".join(f"<details><summary>Hint {i}</summary>\n\nThink.\n\n</details>\n" for i in (1, 2))
    text = f"{hints}<details><summary>Solution</summary>\n\n```python\n{code}\n```\n\n</details>"
    return new_markdown_cell(text, metadata={"tags": [f"solution-{ident}"]})


def toy():
    """A fresh copy."""
    cells = [
        new_markdown_cell("# 00 · Toy\n\nIs two twice one? You will be able to double.\n\n**Time:** not measured yet"),
        _code('PROFILE = ""\nSEED = 0\nmy_guess = 50', tag="parameters"),
        _code(SETUP, "profile class | seed 0\n"),
        *[new_markdown_cell(f"Plain, exact, friendly words about part {i} of the toy.") for i in range(6)],
        _code("print(1 + 1)", "2\n", "nbval-check-output"),
        _code("print('four')", "four\n", "nbval-check-output"),
        new_markdown_cell("## Exercise 00a\n\nEasy, 2 minutes. Double it."),
        _stub("00a", "double", 3),
        _solution("00a", "def double(x):\n    return 2 * x"),
        new_markdown_cell("## Exercise 00b\n\nEasy, 2 min. Halve it."),
        _stub("00b", "half", 3),
        _solution("00b", "def half(x):\n    return x / 2"),
        _code(WIDGET, outputs=[SCREEN]),
        _code(PRESS, outputs=[]),
        _code("theme.figure(title='static').add_bar(x=['a', 'b'], y=[1, 2])", outputs=[FIGURE]),
        new_markdown_cell("## Summary\n\nTwo is twice one."),
        new_markdown_cell("## Quiz\n\n1. What is two? (a number)"),
        _code('my_answers = {1: None}\ncheck.quiz("00", my_answers)', tag="quiz"),
        new_markdown_cell("<details><summary>Answers</summary>\n\n1. **2**: twice one.\n\n</details>"),
        new_markdown_cell("## Where to go next\n\nOn.\n\n## References\n\nEuclid, Elements VII."),
    ]
    nb = nbformat.v4.new_notebook(cells=cells)
    nb.metadata.kernelspec = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    nb.metadata.language_info = {"name": "python"}
    for i, cell in enumerate((c for c in cells if c.cell_type == "code"), start=1):
        cell.execution_count = i
    return nbformat.from_dict(nb)
