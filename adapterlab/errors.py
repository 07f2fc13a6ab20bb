"""The one exception that a user is meant to read."""

import difflib


class UserError(ValueError):
    """Something the user gave cannot be used: one sentence that names the culprit and the mend.

    The command line prints the sentence and exits with 2; in a notebook it is the last line of the traceback.
    """


def suggest(wrong: str, known) -> str:
    """'; did you mean "x"?' when a known name is close to the wrong one, else ''."""
    close = difflib.get_close_matches(str(wrong), [str(k) for k in known], n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""
