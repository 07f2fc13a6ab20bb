"""Exercises of 08_question_answering: F1, and the best span."""

from collections import Counter

import torch

from ...tasks.answers import best_spans
from ...tasks.questions import f1, normalise
from ..kit.exercise import divides, exercise


def _shared(said, gold, kind=Counter, first=normalise):
    """(words in common, words said, words of the answer)."""
    a, b = kind(first(said).split()), kind(first(gold).split())
    count = len if kind is set else Counter.total
    return count(a & b), count(a), count(b)


def _harmonic(common, said, gold):
    return 2 * common / (said + gold) if common else 0.0


def _ratio(common, said, gold, which=0):
    return (common / said, common / gold, common / max(said, gold))[which]


answer_f1 = exercise("08a", "said, gold", f1,
    [("on the red mat", "red mat"), ("mat", "the red mat"), ("red red mat", "red mat mat"),
     ("in the year 1893 in Chicago", "1893"), ("The Red Mat", "red mat"), ("blue", "red"), ("mat red", "red mat"),
     ("the", "A!")], """
    ratio(*shared(said, gold))     # this is the precision: how much of what was said is right; recall is due as well
    ratio(*shared(said, gold), 1)  # this is the recall: how much of the answer was given; precision is due as well
    (ratio(*shared(said, gold)) + ratio(*shared(said, gold), 1)) / 2
    ratio(*shared(said, gold)) * ratio(*shared(said, gold), 1)
    ratio(*shared(said, gold), 2)  # F1 is the harmonic mean of precision and recall, 2pr / (p + r)
    harmonic(*shared(said, gold, set))                   # a repeated word counts once: use Counter, not set
    harmonic(*shared(said, gold, first=str))
    harmonic(*shared(said, gold, first=str.lower))
    harmonic(*shared(normalise(said), gold, first=str))
    harmonic(*shared(said, normalise(gold), first=str))
        # the texts are compared before both are normalised (lower case alone is not enough)
    float(normalise(said) == normalise(gold))            # this is exact match: words shared count too
    right(said, gold) / 2                                # half of what it should be: the 2 in 2pr / (p + r) is missing
    100 * right(said, gold)                              # that is in per cent; return a fraction of 1
""", divides("it divides by zero when no word is shared: then F1 is 0", "blue", "red"),
    divides("it divides by zero when normalising leaves nothing of either text: then F1 is 0", "the", "A!"),
    names={"shared": _shared, "harmonic": _harmonic, "ratio": _ratio, "normalise": normalise})  # fmt: skip


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
ALL = "start, end, allowed, longest"


def _loop(start, end, allowed, longest, shortest=1, ends="se"):
    """The best pair of `shortest` to `longest` tokens; ends: which of s and e must be allowed."""
    n = range(len(start))
    pairs = [(s, e) for s in n for e in n if shortest <= e - s + 1 <= longest]
    pairs = [(s, e) for s, e in pairs if (allowed[s] or "s" not in ends) and (allowed[e] or "e" not in ends)]
    return max(pairs, key=lambda pair: float(start[pair[0]] + end[pair[1]]))


best_span = exercise("08b", ALL,
    lambda start, end, allowed, longest: best_spans(start, end, allowed, 1, longest)[0][1:], SPANS, f"""
    (int(start.argmax()), int(end.argmax()))
    (int((start - 99 * ~allowed).argmax()), int((end - 99 * ~allowed).argmax()))
        # start and end are chosen alone, each where it is highest: score the pairs
    loop({ALL}, ends="")
    loop({ALL}, ends="s")
    loop({ALL}, ends="e")          # tokens outside the passage are chosen: allowed[s] and allowed[e] must both be true
    loop({ALL}, shortest=-99)      # an answer ends before it starts: s <= e
    loop({ALL}, shortest=2)        # an answer of one token is refused: s <= e, not s < e
    loop(start, end, allowed, 99)
    loop(start, end, allowed, longest + 1)
    loop(start, end, allowed, longest - 1)  # the longest answer has `longest` tokens: from s to e there are e - s + 1
    (right({ALL})[0], right({ALL})[1] + 1)  # the end is one too far: return the last token itself
    right({ALL})[::-1]                      # the two change places: first token, last token
    loop((start * 0 + 1), end, allowed, longest)
    loop(start, end * 0, allowed, longest)  # one of the two scores is not used: start[s] + end[e]
    loop(start * allowed, end * allowed, allowed * 0 == 0, longest)
        # a score of 0 is not out of the question where the others are negative: leave such tokens out, or -inf
""", names={"loop": _loop})  # fmt: skip

QUIZ = """a b a b
    1 b  # length is no help to a model that has seen the rest of the article
    1 c  # the windows are as many, wherever the line is drawn
    2 a  # recall asks how much of the true answer it gives, precision how much of what it gives is true
    2 c  # EM is 1 only where the answer is the true one, word for word
    3 b  # there are far more pairs than tokens
    3 c  # a softmax takes the same number from all starts: the best one stays the best
    4 a  # one answer a question is asked for there as well
    4 c  # a number in the passage is a span like any other
"""
