"""The conventions of a notebook, each a rule that returns sentences, and each tried on a broken toy."""

import ast
import json
import re

import nbformat
import pytest
from toy_notebook import FIGURE, toy

from notebooks import CHECKER, FENCE, FOLDER, code_cells, notebooks, read, report, tagged, tags

MAX_BYTES, MAX_LINES, CELLS = 1_500_000, 30, range(20, 54)
PLOTLY, PNG = "application/vnd.plotly.v1+json", "image/png"
MACHINE = re.compile(r"(?<![\w.:/])/(?:work|tmp|root|home)/[^\s\"']*")


def valid(nb, name, names):
    try:
        nbformat.validate(nb)
    except nbformat.ValidationError as error:
        yield f"not a valid notebook: {error.message}"
    if (nb.nbformat, nb.nbformat_minor) < (4, 5):
        yield "nbformat older than 4.5"


def parameters(nb, name, names):
    cells = [c for c in nb.cells if "parameters" in tags(c)]
    if len(cells) != 1:
        yield f"{len(cells)} cells are tagged parameters, not one"
        return
    values = {}
    for node in ast.parse(cells[0].source).body:
        try:
            (target,) = node.targets
            values[target.id] = ast.literal_eval(node.value)
        except (AttributeError, ValueError):
            yield f"parameters: `{ast.unparse(node)}` is not a plain literal"
    if values.get("PROFILE") != "":
        yield 'parameters: PROFILE is not ""'
    if not isinstance(values.get("SEED"), int):
        yield "parameters: SEED is not a whole number"


def setup_line(nb, name, names):
    if not any(re.search(r"lab = setup\(PROFILE, SEED", c.source) for c in code_cells(nb)):
        yield "no cell says lab = setup(PROFILE, SEED)"


def counts(nb, name, names):
    found = [c.execution_count for c in code_cells(nb)]
    if found != list(range(1, len(found) + 1)):
        yield f"execution counts are {found}"


def clean_outputs(nb, name, names):
    for cell in code_cells(nb):
        for out in cell.outputs:
            if out.output_type == "error":
                yield f"an error is stored: {out.ename}: {out.evalue}"
            if out.get("name") == "stderr":
                yield f"stderr is stored: {out.text[:80]!r}"


def metadata(nb, name, names):
    yield from (f"notebook metadata {k!r}" for k in ("widgets", "papermill") if k in nb.metadata)
    if nb.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "the kernel is not python3"
    for i, cell in enumerate(nb.cells):
        yield from (f"cell {i}: metadata {k!r}" for k in ("papermill", "execution", "widgets") if k in cell.metadata)
        if "injected-parameters" in tags(cell):
            yield f"cell {i} was injected by papermill"


def machine_paths(nb, name, names):
    nb = json.loads(json.dumps(nb))
    for cell in nb["cells"]:
        for out in cell.get("outputs", []):
            out.get("data", {}).pop(PNG, None)
    yield from (f"path of a machine: {p}" for p in sorted(set(MACHINE.findall(json.dumps(nb, ensure_ascii=False)))))


def size(nb, name, names):
    length = len(json.dumps(nb).encode())
    if length > MAX_BYTES:
        yield f"{length / 1e6:.1f} MB, at most {MAX_BYTES / 1e6}"


def shape(nb, name, names):
    if len(nb.cells) not in CELLS:
        yield f"{len(nb.cells)} cells, not {CELLS.start} to {CELLS.stop - 1}"
    for cell in code_cells(nb):
        if len(cell.source.splitlines()) > MAX_LINES:
            yield f"a code cell of {len(cell.source.splitlines())} lines: {cell.source[:60]!r}"


def checked_outputs(nb, name, names):
    checked = [c for c in code_cells(nb) if "nbval-check-output" in tags(c)]
    if len(checked) < 2:
        yield f"{len(checked)} cells tagged nbval-check-output, at least two are due"
    for cell in checked:
        if not any(out.get("text") or set(out.get("data", {})) == {"text/plain"} for out in cell.outputs):
            yield f"a checked cell has no text output: {cell.source[:60]!r}"


def title(nb, name, names):
    first = nb.cells[0]
    if first.cell_type != "markdown" or not re.match(rf"# {name[:2]} · \S", first.source):
        yield f'the first cell does not begin with "# {name[:2]} · Title"'
    if not re.search(r"^\*\*Time:\*\* \S", first.source, re.M):
        yield "the first cell has no **Time:** line"
    linked = set(re.findall(r"\(([^()\s]+\.ipynb)\)", first.source))
    at = names.index(name)
    for near in names[max(at - 1, 0) : at] + names[at + 1 : at + 2]:
        if f"{near}.ipynb" not in linked:
            yield f"the first cell has no link to {near}.ipynb"
    every = re.findall(r"\(([^()\s]+\.ipynb)\)", "\n".join(c.source for c in nb.cells if c.cell_type == "markdown"))
    yield from (f"a link to {x}, which is not there" for x in sorted(set(every)) if x[:-6] not in names)


def exercises(nb, name, names):
    stubs, solutions = tagged(nb, "exercise-"), tagged(nb, "solution-")
    if len(stubs) < 2:
        yield f"{len(stubs)} exercises, at least two are due"
    if stubs.keys() != solutions.keys():
        yield f"exercises {sorted(stubs)} and solutions {sorted(solutions)} do not match"
    for ident, cell in stubs.items():
        if not ident.startswith(name[:2]):
            yield f"exercise {ident} does not begin with {name[:2]}"
        if "..." not in cell.source or not CHECKER.search(cell.source):
            yield f"exercise {ident} is not a stub with `...` and `name = check.checker(name)`"
        before = nb.cells[nb.cells.index(cell) - 1]
        if not re.search(r"\d+\s*min", before.source):
            yield f"the cell before exercise {ident} does not say how many minutes"
        if ident not in solutions:
            continue
        between = nb.cells[nb.cells.index(cell) : nb.cells.index(solutions[ident]) + 1]
        text = "\n".join(c.source for c in between if c.cell_type == "markdown")
        for what in ("Hint 1", "Hint 2", "Solution"):
            if f"<summary>{what}</summary>" not in text:
                yield f"exercise {ident} has no <summary>{what}</summary>"
        block, line = FENCE.search(solutions[ident].source), CHECKER.search(cell.source)
        try:
            made = {n.name for n in ast.parse(block[1]).body if hasattr(n, "name")} if block else set()
        except SyntaxError:
            made = set()
        if line and line[1] not in made:
            yield f"solution {ident} has no ```python block that defines {line[1]}"


def ending(nb, name, names):
    text = "\n".join(c.source for c in nb.cells if c.cell_type == "markdown")
    for heading in ("Summary", "Quiz", "Where to go next", "References"):
        if not re.search(rf"^#+ .*{heading}", text, re.M | re.I):
            yield f'no heading "{heading}"'
    if len([c for c in code_cells(nb) if "quiz" in tags(c) and "check.quiz(" in c.source]) != 1:
        yield "no cell tagged quiz that checks the answers"
    quiz = re.split(r"^#+ .*quiz", text, flags=re.M | re.I)[-1]
    if "<details>" not in quiz:
        yield "the quiz has no answers in <details>"


def pictures(nb, name, names):
    for cell in code_cells(nb):
        for out in cell.outputs:
            data = out.get("data", {})
            if PLOTLY in data and PNG not in data:
                yield f"a plotly figure without a PNG: {cell.source[:60]!r}"
            if "text/plain" in data and re.match(r"(VBox|HBox|Box|Output)\(", data["text/plain"]):
                yield f"a widget without a text line: {cell.source[:60]!r}"


RULES = [valid, parameters, setup_line, counts, clean_outputs, metadata, machine_paths, size, shape,
         checked_outputs, title, exercises, ending, pictures]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.__name__)
@pytest.mark.parametrize("path", notebooks(), ids=lambda p: p.stem)
def test_rule(path, rule):
    found = list(rule(read(path), path.stem, [p.stem for p in notebooks()]))
    assert not found, report(found)


def test_names():
    """Every notebook has a number of its own, and nothing else lies in the folder."""
    found = notebooks()
    assert len({p.name[:2] for p in found}) == len(found)
    assert sorted(FOLDER.glob("*.ipynb")) == found


def test_prose_ratio(note):
    """Words of prose to a line of code, reported: five to eight are meant."""
    for path in notebooks():
        nb = read(path)
        words = sum(len(c.source.split()) for c in nb.cells if c.cell_type == "markdown")
        lines = sum(len(c.source.splitlines()) for c in code_cells(nb))
        note(f"{path.stem:32} {words / max(lines, 1):.1f} words of prose to a line of code")


def _source(tag, old, new):
    def change(nb):
        cell = next(c for c in nb.cells if tag in tags(c) or tag == c.source[: len(tag)])
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def _output(**changes):
    return lambda nb: code_cells(nb)[2].outputs[0].update(changes)


def _no_png(nb):
    next(o for c in code_cells(nb) for o in c.outputs if PLOTLY in o.get("data", {})).data.pop(PNG)


BROKEN = [
    (valid, "not a valid", lambda nb: nb.cells[1].pop("outputs")),
    (valid, "older", lambda nb: nb.update(nbformat_minor=4) or [c.pop("id") for c in nb.cells]),
    (parameters, "0 cells", lambda nb: nb.cells[1].metadata.update(tags=[])),
    (parameters, "2 cells", lambda nb: nb.cells[2].metadata.update(tags=["parameters"])),
    (parameters, "plain literal", _source("parameters", "50", "int('50')")),
    (parameters, "PROFILE", _source("parameters", '""', '"class"')),
    (parameters, "SEED", _source("parameters", "SEED = 0", "")),
    (setup_line, "no cell", _source("from types", "PROFILE, SEED", "")),
    (counts, "[1, 2, None", lambda nb: code_cells(nb)[2].update(execution_count=None)),
    (clean_outputs, "stderr", _output(name="stderr")),
    (clean_outputs, "boom", _output(output_type="error", ename="X", evalue="boom", traceback=[])),
    (metadata, "'widgets'", lambda nb: nb.metadata.update(widgets={})),
    (metadata, "'papermill'", lambda nb: nb.metadata.update(papermill={})),
    (metadata, "cell 1: metadata 'papermill'", lambda nb: nb.cells[1].metadata.update(papermill={})),
    (metadata, "injected", lambda nb: nb.cells[1].metadata.update(tags=["injected-parameters"])),
    (metadata, "python3", lambda nb: nb.metadata.kernelspec.update(name="mine")),
    (machine_paths, "/home/me/x", _output(text="saved to /home/me/x\n")),
    (machine_paths, "/home/a", _source("Plain", "Plain", "See `/home/a`")),
    (size, "1.6 MB", _output(text="x" * 1_600_000)),
    (shape, "54 cells", lambda nb: nb.cells.extend([nb.cells[0]] * (54 - len(nb.cells)))),
    (shape, "19 cells", lambda nb: nb.cells.__delitem__(slice(19, None))),
    (shape, "31 lines", _source("print(1", "print(1 + 1)", "x\n" * 31)),
    (checked_outputs, "1 cells", lambda nb: code_cells(nb)[2].metadata.update(tags=[])),
    (checked_outputs, "no text", lambda nb: code_cells(nb)[2].update(outputs=[FIGURE])),
    (title, "does not begin", _source("# 00", "# 00", "# 01")),
    (title, "Time", _source("# 00", "**Time:**", "Time")),
    (title, "no link to 01_next", _source("# 00", "(01_next.ipynb)", "")),
    (title, "link to 07_gone.ipynb", _source("Plain", "Plain", "See [7](07_gone.ipynb)")),
    (exercises, "1 exercises", lambda nb: tagged(nb, "exercise-")["00b"].metadata.update(tags=[])),
    (exercises, "do not match", lambda nb: tagged(nb, "solution-")["00b"].metadata.update(tags=["solution-00c"])),
    (exercises, "does not begin with 00", lambda nb: tagged(nb, "exercise-")["00b"].metadata.update(tags=["exercise-01b"])),
    (exercises, "not a stub", _source("exercise-00a", "...", "return x")),
    (exercises, "not a stub", _source("exercise-00a", "double = check", "y = check")),
    (exercises, "minutes", _source("## Exercise 00a", "2 minutes", "easy")),
    (exercises, "Hint 2", _source("solution-00a", "Hint 2", "Hint")),
    (exercises, "defines double", _source("solution-00a", "def double", "def other")),
    (exercises, "defines double", _source("solution-00a", "2 * x", "2 *")),
    (ending, '"Quiz"', _source("## Quiz", "## Quiz", "## Ask")),
    (ending, '"References"', _source("## Where", "## References", "")),
    (ending, "answers", _source("<details><summary>Answers", "<details>", "")),
    (ending, "tagged quiz", _source("my_answers", "check.quiz", "print")),
    (pictures, "without a PNG", _no_png),
    (pictures, "without a text line", lambda nb: code_cells(nb)[2].outputs.append(
        nbformat.v4.new_output("display_data", {"text/plain": "VBox(children=())"}))),
]  # fmt: skip
NAMES = ["00_toy", "01_next"]


def _linked():
    nb = toy()
    nb.cells[0].source += "\n\n[Next](01_next.ipynb)"
    return nb


def test_the_toy_keeps_every_rule():
    assert [p for rule in RULES for p in rule(_linked(), "00_toy", NAMES)] == []
    assert {rule for rule, _, _ in BROKEN} == set(RULES)


@pytest.mark.parametrize(("rule", "words", "damage"), BROKEN, ids=[f"{r.__name__}-{w}" for r, w, _ in BROKEN])
def test_a_broken_notebook_is_seen(rule, words, damage):
    nb = _linked()
    damage(nb)
    assert any(words in problem for problem in rule(nb, "00_toy", NAMES))
