"""One progress line that suits where it is shown, and leaves one line of text behind.

In a notebook it is a small HTML bar that is replaced by the closing sentence, so that a stored notebook holds only
that sentence; in a terminal it is tqdm; in a log file only the closing sentence appears.
"""

import sys
import time
from html import escape


class Progress:
    """`with Progress(total, "training") as bar: bar.step("loss 0.3"); bar.done("82.0% after 9 s")`."""

    def __init__(self, total: int, title: str, show: bool = True):
        self.total, self.title, self.show = total, title, show
        self.count, self.drawn, self.closing = 0, 0.0, None
        self.view = self.bar = None

    def __enter__(self):
        if self.show and _in_kernel():
            from IPython.display import display

            self.view = display(self._mime(""), raw=True, display_id=True)
        elif self.show and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=self.total, desc=self.title, leave=False)
        return self

    def step(self, note: str = "") -> None:
        """One more done; redrawn three times a second at most."""
        self.count += 1
        if self.bar:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update()
        elif self.view and time.monotonic() - self.drawn > 0.33:
            self.drawn = time.monotonic()
            self.view.update(self._mime(note), raw=True)

    def done(self, sentence: str) -> None:
        """The line to leave behind."""
        self.closing = sentence

    def __exit__(self, kind, error, trace):
        sentence = self.closing or f"{self.title}: stopped after {self.count} of {self.total}"
        if self.bar:
            self.bar.close()
        if self.view:
            self.view.update({"text/plain": sentence}, raw=True)
        elif self.show:
            print(sentence)
        return False

    def _mime(self, note: str) -> dict:
        text = f"{self.title}: {self.count}/{self.total} {note}"
        bar = f'<progress value="{self.count}" max="{self.total}"></progress> {escape(text)}'
        return {"text/plain": text, "text/html": bar}


def _in_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")
