"""Exercises of 08_question_answering: the two scores of SQuAD, and the best span."""

import re
import string
from collections import Counter

import torch

from ...tasks.answers import best_spans
from ...tasks.questions import f1, normalise
from ..kit.exercise import agrees, exercise, mistake

TEXTS = (
    ("The  Red Mat!",),
    ("an Apple, a day",),
    ("another theatre in Anatolia",),
    ("1,280 metres",),
    ("U.S.A.",),
    (" ",),
)


def _lower(text):
    return text.lower()


def _no_punctuation(text):
    return "".join(c for c in text if c not in string.punctuation)


def _no_articles(text):
    return re.sub(r"\b(a|an|the)\b", " ", text)


def _single_spaces(text):
    return " ".join(text.split())


def _without(*left_out):
    """The reference with some of its four steps left out."""
    steps = [s for s in (_lower, _no_punctuation, _no_articles, _single_spaces) if s not in left_out]

    def clean(text):
        for step in steps:
            text = step(text)
        return text

    return clean


normalise_answer = exercise(
    "08a",
    normalise,
    mistake(lambda text: text, "nothing is changed yet: four steps are due", *TEXTS),
    mistake(_without(_lower), "capitals are left: begin with text.lower()", *TEXTS),
    mistake(_without(_no_punctuation), "punctuation is left: drop every character of string.punctuation", *TEXTS),
    mistake(_without(_no_articles), 'the articles "a", "an" and "the" are left', *TEXTS),
    mistake(_without(_single_spaces), "spaces are left over: end with a split and a join", *TEXTS),
    mistake(
        lambda text: _single_spaces(re.sub("a|an|the", " ", _no_punctuation(text.lower()))),
        'articles are cut out of other words ("another" loses its "a"): only whole words count, \\b in a pattern',
        *TEXTS,
    ),
    mistake(
        lambda text: _single_spaces(
            _no_articles("".join(c if c not in string.punctuation else " " for c in text.lower()))
        ),
        'punctuation becomes a space, so "1,280" becomes two words: drop it altogether',
        *TEXTS,
    ),
    mistake(
        lambda text: _single_spaces(re.sub(r"\bthe\b", " ", _no_punctuation(text.lower()))),
        'only "the" is dropped: "a" and "an" are articles too',
        *TEXTS,
    ),
    agrees(normalise, *TEXTS),
)

PAIRS = (
    ("on the red mat", "red mat"),
    ("mat", "the red mat"),
    ("red red mat", "red mat mat"),
    ("in the year 1893 in Chicago", "1893"),
    ("The Red Mat", "red mat"),
    ("blue", "red"),
)


def _words(said, gold):
    return normalise(said).split(), normalise(gold).split()


def _precision(said, gold):
    a, b = _words(said, gold)
    return sum((Counter(a) & Counter(b)).values()) / len(a)


def _recall(said, gold):
    return _precision(gold, said)


def _by_sets(said, gold):
    a, b = (set(words) for words in _words(said, gold))
    return 2 * len(a & b) / (len(a) + len(b)) if a & b else 0.0


def _raw(said, gold):
    a, b = said.split(), gold.split()
    shared = sum((Counter(a) & Counter(b)).values())
    return 2 * shared / (len(a) + len(b)) if shared else 0.0


def _survives_nothing_shared(fn):
    try:
        fn("blue", "red")
    except ZeroDivisionError:
        return "it divides by zero when no word is shared: then F1 is 0"
    return None


answer_f1 = exercise(
    "08b",
    f1,
    _survives_nothing_shared,
    mistake(_precision, "this is the precision: how much of what was said is right; recall is due as well", *PAIRS),
    mistake(_recall, "this is the recall: how much of the answer was found; precision is due as well", *PAIRS),
    mistake(
        lambda s, g: (_precision(s, g) + _recall(s, g)) / 2,
        "this is the plain mean of precision and recall; F1 is the harmonic one, 2pr / (p + r)",
        *PAIRS,
    ),
    mistake(_by_sets, "a repeated word counts once: use Counter, not set", *PAIRS),
    mistake(_raw, "the texts are compared as they are: normalise both first", *PAIRS),
    mistake(lambda s, g: float(normalise(s) == normalise(g)), "this is exact match: words shared count too", *PAIRS),
    mistake(lambda s, g: f1(s, g) / 2, "half of what it should be: the 2 in 2pr / (p + r) is missing", *PAIRS),
    agrees(f1, *PAIRS),
)


def _best(start, end, allowed, longest):
    """(first token, last token) with the highest start + end score."""
    return best_spans(start, end, allowed, 1, longest)[0][1:]


def _case(start, end, allowed, longest):
    return torch.tensor(start), torch.tensor(end), torch.tensor(allowed, dtype=torch.bool), longest


SPANS = (
    _case([9.0, 1.0, 2.0, 5.0, 0.0, 1.0], [8.0, 4.0, 0.0, 1.0, 3.0, 0.0], [0, 1, 1, 1, 1, 1], 3),
    _case([0.0, 3.0, 0.0, 0.0, 0.0, 2.0], [0.0, 0.0, 1.0, 0.0, 0.0, 5.0], [0, 1, 1, 1, 1, 1], 4),
    _case([0.0, 6.0, 0.0, 5.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0, 1.0, 6.0], [0, 1, 1, 1, 1, 1], 2),
    _case([7.0, 0.0, 0.0, 6.0, 1.0, 0.0], [7.0, 5.0, 0.0, 4.0, 0.0, 3.0], [0, 0, 1, 1, 1, 1], 2),
    _case([0.0, 4.0, 0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 1.0, 2.0, 4.0, 0.0], [0, 1, 1, 1, 1, 1], 4),
)


def _loop(start, end, allowed, longest, ordered=True, short=True, inside=True, inclusive=0):
    """The best pair with rules left out: first <= last, at most `longest` tokens, only allowed ones."""
    n = len(start)
    pairs = [
        (s, e)
        for s in range(n)
        for e in range(n)
        if (not ordered or s <= e)
        and (not short or e - s + 1 <= longest + inclusive)
        and (not inside or (allowed[s] and allowed[e]))
    ]
    return max(pairs, key=lambda pair: float(start[pair[0]] + end[pair[1]]))


best_span = exercise(
    "08c",
    _best,
    mistake(
        lambda s, e, a, n: (int(s.argmax()), int(e.argmax())),
        "start and end are chosen alone, each where it is highest: score the pairs",
        *SPANS,
    ),
    mistake(
        lambda *case: _loop(*case, inside=False),
        "tokens outside the passage are chosen: only those with allowed[i] count",
        *SPANS,
    ),
    mistake(lambda *case: _loop(*case, ordered=False), "an answer ends before it starts: s <= e", *SPANS),
    mistake(lambda *case: _loop(*case, short=False), "answers longer than `longest` tokens are let through", *SPANS),
    mistake(
        lambda *case: _loop(*case, inclusive=1),
        "answers of longest + 1 tokens are let through: from s to e there are e - s + 1",
        *SPANS,
    ),
    mistake(
        lambda *case: _loop(*case, inclusive=-1),
        "answers of `longest` tokens are refused: from s to e there are e - s + 1",
        *SPANS,
    ),
    mistake(
        lambda *case: (lambda pair: (pair[0], pair[1] + 1))(_best(*case)),
        "the end is one too far: return the last token itself",
        *SPANS,
    ),
    agrees(_best, *SPANS),
)
