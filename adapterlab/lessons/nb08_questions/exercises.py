"""Exercises of 08_question_answering: the two scores of SQuAD, and the best span."""

import re
import string
from collections import Counter

import torch

from ...tasks.answers import best_spans
from ...tasks.questions import f1, normalise
from ..kit.exercise import divides, exercise

# ---- 08a: the text of an answer


def _clean(text, lower=True, marks="", articles=r"\b(a|an|the)\b", spaces=True):
    """The four steps of SQuAD, each to be left out or done otherwise."""
    text = text.lower() if lower else text
    if marks is not None:
        text = "".join(marks if c in string.punctuation else c for c in text)
    text = re.sub(articles, " ", text) if articles else text
    return " ".join(text.split()) if spaces else text


normalise_answer = exercise(
    "08a",
    "text",
    normalise,
    [(text,) for text in ("The  Red Mat!", "an Apple, a day", "another theatre in Anatolia", "1,280 metres", "U.S.A.",
                          " ", "“the” cat: a/b", "plan a-the end")],
    r"""
    text                                  # nothing is changed yet: four steps are due
    clean(text, lower=False)              # capitals are left: begin with text.lower()
    clean(text, marks=None)               # punctuation is left: drop every character of string.punctuation
    clean(text, articles=None)            # the articles "a", "an" and "the" are left
    clean(text, spaces=False)             # spaces are left over: end with a split and a join
    clean(text, spaces=False).strip()     # spaces between the words are left: end with a split and a join
    clean(text, articles='a|an|the')
        # articles are cut out of other words ("another" loses its "a"): only whole words count, \b in a pattern
    clean(text, marks=' ')  # punctuation becomes a space, so "1,280" becomes two words: drop it altogether
    clean(text, articles=r'\bthe\b')      # only "the" is dropped: "a" and "an" are articles too
    clean(text, articles=r'\b(a|the)\b')  # "an" is an article too
    clean(text.lower().replace(' the ', ' ').replace(' a ', ' ').replace(' an ', ' '), articles=None)
        # an article at the beginning or the end of the text stays: look for whole words, \b in a pattern
    clean(text).replace(' ', '')          # no spaces are left: words stay apart, by one space
    clean(text).split()                   # it returns the list of words; join them with spaces
    """,
    names={"clean": _clean},
)  # fmt: skip

# ---- 08b: words in common


def _shared(said, gold, kind=Counter, first=normalise):
    """(words in common, words said, words of the answer)."""
    a, b = kind(first(said).split()), kind(first(gold).split())
    if kind is set:
        return len(a & b), len(a), len(b)
    return sum((a & b).values()), sum(a.values()), sum(b.values())


def _harmonic(common, said, gold):
    return 2 * common / (said + gold) if common else 0.0


def _ratio(common, said, gold, which=0):
    return (common / said, common / gold, common / max(said, gold))[which]


answer_f1 = exercise(
    "08b",
    "said, gold",
    f1,
    [("on the red mat", "red mat"), ("mat", "the red mat"), ("red red mat", "red mat mat"),
     ("in the year 1893 in Chicago", "1893"), ("The Red Mat", "red mat"), ("blue", "red"), ("mat red", "red mat"),
     ("the", "A!")],
    """
    ratio(*shared(said, gold))  # this is the precision: how much of what was said is right; recall is due as well
    ratio(*shared(said, gold), 1)  # this is the recall: how much of the answer was found; precision is due as well
    (ratio(*shared(said, gold)) + ratio(*shared(said, gold), 1)) / 2
        # this is the plain mean of precision and recall; F1 is the harmonic one, 2pr / (p + r)
    ratio(*shared(said, gold)) * ratio(*shared(said, gold), 1)
        # this is the product of precision and recall; F1 is the harmonic mean, 2pr / (p + r)
    ratio(*shared(said, gold), 2)  # shared / the longer text is neither precision nor recall: 2pr / (p + r)
    harmonic(*shared(said, gold, set))                   # a repeated word counts once: use Counter, not set
    harmonic(*shared(said, gold, first=str))             # the texts are compared as they are: normalise both first
    harmonic(*shared(said, gold, first=str.lower))       # lower case is not enough: normalise both first
    harmonic(*shared(normalise(said), gold, first=str))  # gold is not normalised: normalise both first
    harmonic(*shared(said, normalise(gold), first=str))  # what was said is not normalised: normalise both first
    float(normalise(said) == normalise(gold))            # this is exact match: words shared count too
    right(said, gold) / 2                                # half of what it should be: the 2 in 2pr / (p + r) is missing
    100 * right(said, gold)                              # that is in per cent; return a fraction of 1
    """,
    divides("it divides by zero when no word is shared: then F1 is 0", "blue", "red"),
    divides("it divides by zero when normalising leaves nothing of either text: then F1 is 0", "the", "A!"),
    names={"shared": _shared, "harmonic": _harmonic, "ratio": _ratio, "normalise": normalise},
)  # fmt: skip

# ---- 08c: the best pair


def _best(start, end, allowed, longest):
    """(first token, last token) with the highest start + end score."""
    return best_spans(start, end, allowed, 1, longest)[0][1:]


def _case(start, end, allowed, longest):
    return torch.tensor(start), torch.tensor(end), torch.tensor(allowed, dtype=torch.bool), longest


SPANS = [
    _case([9.0, 1.0, 2.0, 5.0, 0.0, 1.0], [8.0, 4.0, 0.0, 1.0, 3.0, 0.0], [0, 1, 1, 1, 1, 1], 3),
    _case([0.0, 3.0, 0.0, 0.0, 0.0, 2.0], [0.0, 0.0, 1.0, 0.0, 0.0, 5.0], [0, 1, 1, 1, 1, 1], 4),
    _case([0.0, 6.0, 0.0, 5.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0, 1.0, 6.0], [0, 1, 1, 1, 1, 1], 2),
    _case([7.0, 0.0, 0.0, 6.0, 1.0, 0.0], [7.0, 5.0, 0.0, 4.0, 0.0, 3.0], [0, 0, 1, 1, 1, 1], 2),
    _case([0.0, 4.0, 0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 1.0, 2.0, 4.0, 0.0], [0, 1, 1, 1, 1, 1], 4),
    _case([9.0, 2.0, 0.5, 1.5, 0.0, 8.0], [9.0, 0.5, 2.0, 0.0, 3.0, 9.0], [0, 1, 1, 1, 1, 0], 3),
    _case([9.0, -5.0, -2.0, -4.0], [9.0, -1.5, -3.0, -2.5], [0, 1, 1, 1], 2),
]


def _loop(start, end, allowed, longest, ordered=True, short=True, inside="both", more=0, one=0):
    """The best pair with rules left out: first <= last, at most `longest` tokens, only allowed ones."""
    n = len(start)
    pairs = [
        (s, e)
        for s in range(n)
        for e in range(n)
        if (not ordered or s + one <= e)
        and (not short or e - s + 1 <= longest + more)
        and (allowed[s] or inside in ("end", "none"))
        and (allowed[e] or inside in ("start", "none"))
    ]
    return max(pairs, key=lambda pair: float(start[pair[0]] + end[pair[1]]))


ALL = "start, end, allowed, longest"

best_span = exercise(
    "08c",
    ALL,
    _best,
    SPANS,
    f"""
    (int(start.argmax()), int(end.argmax()))
    (int((start - 99 * ~allowed).argmax()), int((end - 99 * ~allowed).argmax()))
        # start and end are chosen alone, each where it is highest: score the pairs
    loop({ALL}, inside='none')  # tokens outside the passage are chosen: only those with allowed[i] count
    loop({ALL}, inside='start')                   # the end may lie outside the passage: allowed[e] counts as well
    loop({ALL}, inside='end')                     # the start may lie outside the passage: allowed[s] counts as well
    loop({ALL}, ordered=False)                    # an answer ends before it starts: s <= e
    loop({ALL}, one=1)                            # an answer of one token is refused: s <= e, not s < e
    loop({ALL}, short=False)                      # answers longer than `longest` tokens are let through
    loop({ALL}, more=1)  # answers of longest + 1 tokens are let through: from s to e there are e - s + 1
    loop({ALL}, more=-1)  # answers of `longest` tokens are refused: from s to e there are e - s + 1
    (right({ALL})[0], right({ALL})[1] + 1)        # the end is one too far: return the last token itself
    right({ALL})[::-1]                            # the two change places: first token, last token
    loop((start * 0 + 1), end, allowed, longest)  # the starts' scores are not used: start[s] + end[e]
    loop(start, end * 0, allowed, longest)        # the ends' scores are not used: start[s] + end[e]
    loop(start * allowed, end * allowed, allowed * 0 == 0, longest)
        # a score of 0 is not out of the question where the others are negative: leave such tokens out, or -inf
    """,
    names={"loop": _loop},
)
