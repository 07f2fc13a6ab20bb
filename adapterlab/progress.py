"""One progress bar that suits where it is shown, and leaves one line of text behind.

In a notebook the bar is replaced by the closing sentence, so that a stored notebook holds only that sentence; in a
terminal it is cleared; in a log file only the closing sentence appears.
"""

import sys
from typing import Any

from tqdm import tqdm


class Progress(tqdm):
    """`with Progress(total, "training") as bar: bar.step("loss 0.3"); bar.done("82.0% after 9 s")`."""

    def __init__(self, total: int, title: str, show: bool = True):
        self.title, self.show, self.sentence = title, show, ""
        self.cell = _Cell() if show and _in_kernel() else None
        hidden = not show or (self.cell is None and not sys.stderr.isatty())
        super().__init__(total=total, desc=title, leave=False, mininterval=0.33, file=self.cell, disable=hidden)
        self.count = 0

    def step(self, note: str = "") -> None:
        """One more done."""
        self.count += 1
        self.set_postfix_str(note, refresh=False)
        self.update()

    def done(self, sentence: str) -> None:
        """The line to leave behind."""
        self.sentence = sentence

    def __exit__(self, *error) -> None:
        self.close()
        sentence = self.sentence or f"{self.title}: stopped after {self.count} of {self.total}"
        if self.cell is not None:
            self.cell.write(sentence)
        elif self.show:
            print(sentence)


class _Cell:
    """A cell's output as a file of which the last line alone is seen."""

    encoding = "utf-8"  # so that tqdm draws smooth bars

    def __init__(self):
        from IPython.display import display

        self.view: Any = display({"text/plain": ""}, raw=True, display_id=True)

    def write(self, text: str) -> None:
        if line := text.strip():
            self.view.update({"text/plain": line}, raw=True)

    def flush(self) -> None: ...


def _in_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")
