"""Pages that need no network: the HTML copy of an executed notebook, and the index of a run."""

import copy
import json
import re
from datetime import datetime
from html import escape

import nbformat
from nbconvert import HTMLExporter

from .scrub import PLOTLY, WIDGET, flatten_widgets

# nbconvert's page without what it would load from the net: require.js, MathJax, Mermaid, the widget manager.
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


def html_page(nb, title: str) -> str:
    """One self-contained HTML page: figures stay interactive, plotly.js is in the file (once, if there are any)."""
    nb, figures = _for_html(nb)
    nb.metadata["title"] = title
    exporter = HTMLExporter(template_name="lab", raw_template=TEMPLATE, embed_images=True)
    page, _ = exporter.from_notebook_node(nb)
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
            if PLOTLY in data:
                text = data.get("text/plain", "")
                summary = "" if not text or text.startswith("Figure(") else f"<p>{escape(text)}</p>"
                output.data = nbformat.from_dict({"text/html": figure_html(data[PLOTLY]) + summary})
                figures += 1
    return nb, figures


def figure_html(figure: dict) -> str:
    """A place for the figure and, right after it, its JSON, which the page's script draws."""
    height = figure.get("layout", {}).get("height") or 450
    parts = {key: figure[key] for key in ("data", "layout", "frames", "config") if key in figure}
    parts.get("config", {}).pop("plotlyServerURL", None)
    text = json.dumps(parts, separators=(",", ":")).replace("</", "<\\/").replace("<!--", "<\\!--")
    return f'<div style="height:{int(height)}px"></div><script type="application/json" class="figure">{text}</script>'


STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#111;background:#fff}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #ccc}
.ok{color:#00694d}.failed,.interrupted{color:#b33c00;font-weight:bold}.number{text-align:right}code{background:#f3f3f3}"""


def index_page(jobs, command: str) -> str:
    """The table of a run: status, minutes, peak memory and links. jobs: of one run, in any state."""
    done = sum(job.status == "ok" for job in jobs)
    rows = "\n".join(_row(job) for job in jobs)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>adapterlab: {done} of {len(jobs)} notebooks</title><style>{STYLE}</style></head><body>
<h1>adapterlab: {done} of {len(jobs)} notebooks ran to the end</h1>
<p><code>{escape(command)}</code>, profile {escape(jobs[0].profile)}, {datetime.now():%Y-%m-%d %H:%M}</p>
<table><thead><tr><th>notebook</th><th>status</th><th class="number">minutes</th><th class="number">peak memory, MB</th>
<th>files</th></tr></thead><tbody>
{rows}
</tbody></table>
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
