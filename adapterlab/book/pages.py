"""Pages that need no network: the HTML copy of an executed notebook, and the index of a run."""

import copy
import json
import re
from datetime import datetime
from html import escape

import nbformat
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from .scrub import PLOTLY, WIDGET, flatten_widgets

# without require.js, MathJax, Mermaid and the widget manager, which would be loaded from the net
TEMPLATE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
"""

DRAW = """<script>
addEventListener("DOMContentLoaded", () => document.querySelectorAll("script.figure").forEach(source => {
  const figure = JSON.parse(source.textContent);
  figure.config = {...figure.config, responsive: true, displaylogo: false};
  Plotly.newPlot(source.previousElementSibling, figure);
}));
</script>"""


class Renderer(IPythonRenderer):
    """nbconvert's, but formulas become MathML, and <details> ends where it is closed and not where it begins."""

    def block_html(self, html: str) -> str:
        return html

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return mathml(body, "block")

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")


def mathml(tex: str, display: str = "inline") -> str:
    """A formula as browsers set it without a network; as code where the converter cannot read it."""
    try:
        return convert(tex, display=display)
    except Exception:  # of many kinds, on what somebody wrote by hand
        return f"<code>{escape(tex)}</code>"


class Exporter(HTMLExporter):
    """nbconvert's page without what it would load from the net, and with our Markdown."""

    @pass_context
    def markdown2html(self, context, source):
        attachments = context.get("cell", {}).get("attachments", {})
        return MarkdownWithMath(renderer=Renderer(escape=False, attachments=attachments)).render(source)


def html_page(nb, title: str) -> str:
    """One self-contained HTML page: figures stay interactive, plotly.js is in the file (once, if there are any)."""
    nb, figures = _for_html(nb)
    nb.metadata["title"] = title
    page, _ = Exporter(template_name="lab", raw_template=TEMPLATE).from_notebook_node(nb)
    if figures:
        from plotly.offline import get_plotlyjs

        head = f"<script>{get_plotlyjs()}</script>\n{DRAW}\n</head>"
        page = page.replace("</head>", head, 1)
    return page


def _for_html(nb):
    """A copy whose widgets are stills, whose figures are HTML and whose links go to the other pages; figure count."""
    nb, figures = flatten_widgets(copy.deepcopy(nb)), 0
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\((\d\d_\w+)\.ipynb\)", r"](\1.html)", cell.source)
            continue
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            data.pop(WIDGET, None)
            text = escape(data.get("text/plain", ""))
            if PLOTLY in data:
                summary = f"<p>{text}</p>" if text and not text.startswith("Figure(") else ""
                output.data = nbformat.from_dict({"text/html": figure_html(data[PLOTLY]) + summary})
                figures += 1
            elif "image/png" in data:
                html = f'<img alt="{text or "a picture"}" src="data:image/png;base64,{data["image/png"]}">'
                output.data = nbformat.from_dict({"text/html": html})
    return nb, figures


def figure_html(figure: dict) -> str:
    """A place for the figure and, right after it, its JSON, which the page's script draws."""
    height = figure.get("layout", {}).get("height") or 450
    parts = {key: figure[key] for key in ("data", "layout", "frames", "config") if key in figure}
    parts.get("config", {}).pop("plotlyServerURL", None)
    text = json.dumps(parts, separators=(",", ":")).replace("</", "<\\/").replace("<!--", "<\\!--")
    place = f'class="figure-place" role="img" aria-label="{escape(figure_text(figure))}" style="height:{height:.0f}px"'
    return f'<div {place}></div><script type="application/json" class="figure">{text}</script>'


def figure_text(figure: dict) -> str:
    """What a figure shows, in one sentence: its title, its axes, its kinds of marks and their names."""

    def title(part: str) -> str:
        words = (layout if part == "figure" else layout.get(part, {})).get("title") or ""
        return re.sub(r"<[^>]+>", " ", words if isinstance(words, str) else words.get("text") or "").strip()

    layout, traces = figure.get("layout", {}), figure.get("data", [])
    axes = " over ".join(filter(None, map(title, ("yaxis", "xaxis"))))
    names = ", ".join(dict.fromkeys(name for trace in traces if (name := trace.get("name"))))
    kinds = " and ".join(dict.fromkeys(trace.get("type", "scatter") for trace in traces))
    return ": ".join(filter(None, (title("figure"), axes, f"{kinds}: {names}" if names else kinds)))


STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#111;background:#fff}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #ccc}
.ok{color:#00694d}.failed,.interrupted{color:#b33c00;font-weight:bold}.number{text-align:right}code{background:#f3f3f3}"""


def index_page(jobs, command: str) -> str:
    """The table of a run: status, minutes, peak memory and links; below it what it cost in all. jobs: of one run."""
    done = sum(job.status == "ok" for job in jobs)
    rows = "\n".join(_row(job) for job in jobs)
    minutes, peak = sum(job.seconds for job in jobs) / 60, max(job.peak for job in jobs) / 1e6
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>adapterlab: {done} of {len(jobs)} notebooks</title><style>{STYLE}</style></head><body>
<h1>adapterlab: {done} of {len(jobs)} notebooks ran to the end</h1>
<p><code>{escape(command)}</code>, profile {escape(jobs[0].profile)}, {datetime.now():%Y-%m-%d %H:%M}</p>
<table><thead><tr><th>notebook</th><th>status</th><th class="number">minutes</th><th class="number">peak memory, MB</th>
<th>files</th></tr></thead><tbody>
{rows}
</tbody><tfoot><tr><th>in all, and the largest</th><td></td><td class="number">{minutes:.1f}</td>
<td class="number">{peak:.0f}</td><td></td></tr></tfoot></table>
</body></html>
"""


def _row(job) -> str:
    kinds = [("html", "page"), ("ipynb", "notebook"), ("log", "kernel log")]
    files = [(job.file(kind), label) for kind, label in kinds]
    links = " · ".join(f'<a href="{path.name}">{label}</a>' for path, label in files if path.exists())
    where = f"cell {job.cell} (<code>{escape(job.line)}</code>): " if job.cell else ""
    why = f"<br>{where}{escape(job.error)}" if job.status == "failed" else ""
    title = f"{escape(job.name)}<br><small>{escape(job.notebook.title)}</small>"
    minutes = f"{job.seconds / 60:.1f}" if job.seconds else ""
    peak = f"{job.peak / 1e6:.0f}" if job.peak else ""
    return (
        f'<tr><td>{title}</td><td><span class="{job.status.replace(" ", "-")}">{job.status}</span>{why}</td>'
        f'<td class="number">{minutes}</td><td class="number">{peak}</td><td>{links}</td></tr>'
    )
