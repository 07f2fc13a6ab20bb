"""Every common wrong answer of 08_question_answering gets its own message; right ones in other words pass."""

import re
import string
from collections import Counter

import pytest

from adapterlab import check
from adapterlab.lessons.kit.exercise import CORRECT, NOT_ATTEMPTED


def clean(text, low=True, marks="", articles=r"\b(a|an|the)\b", spaces=True):
    text = text.lower() if low else text
    if marks is not None:
        text = "".join(c if c not in string.punctuation else marks for c in text)
    if articles:
        text = re.sub(articles, " ", text)
    return " ".join(text.split()) if spaces else text


def shared(said, gold, kind=Counter, first=clean):
    a, b = first(said).split(), first(gold).split()
    if kind is set:
        return len(set(a) & set(b)), len(set(a)), len(set(b))
    return sum((Counter(a) & Counter(b)).values()), len(a), len(b)


def harmonic(n, a, b):
    return 2 * n / (a + b) if n else 0.0


def divides(said, gold):
    n, a, b = shared(said, gold)
    p, r = n / a, n / b
    return 2 * p * r / (p + r)


def loop(start, end, allowed, longest, order=True, length=0, inside=True):
    best = None
    for s in range(len(start)):
        for e in range(len(end)):
            if (order and e < s) or (length is not None and e - s + 1 > longest + length):
                continue
            if inside and not (allowed[s] and allowed[e]):
                continue
            score = (start[s] + end[e]).item()
            if best is None or score > best[0]:
                best = score, s, e
    return best[1:]


WRONG = {
    "normalise_answer": [
        (lambda t: t, "nothing is changed"),
        (lambda t: clean(t, low=False), "capitals"),
        (lambda t: clean(t, marks=None), "punctuation is left"),
        (lambda t: clean(t, articles=None), "articles"),
        (lambda t: clean(t, spaces=False), "spaces are left"),
        (lambda t: clean(t, articles="a|an|the"), "another"),
        (lambda t: clean(t, marks=" "), "1,280"),
        (lambda t: clean(t, articles=r"\bthe\b"), 'only "the"'),
        (lambda t: "", "expected"),
    ],
    "answer_f1": [
        (divides, "divides by zero"),
        (lambda s, g: shared(s, g)[0] / shared(s, g)[1], "precision:"),
        (lambda s, g: shared(s, g)[0] / shared(s, g)[2], "recall:"),
        (lambda s, g: (shared(s, g)[0] / shared(s, g)[1] + shared(s, g)[0] / shared(s, g)[2]) / 2, "plain mean"),
        (lambda s, g: harmonic(*shared(s, g, set)), "Counter, not set"),
        (lambda s, g: harmonic(*shared(s, g, first=str)), "normalise both"),
        (lambda s, g: float(clean(s) == clean(g)), "exact match"),
        (lambda s, g: harmonic(*shared(s, g)) / 2, "the 2 in"),
        (lambda s, g: 1.0, "expected"),
    ],
    "best_span": [
        (lambda s, e, a, n: (int(s.argmax()), int(e.argmax())), "chosen alone"),
        (lambda *c: loop(*c, inside=False), "outside the passage"),
        (lambda *c: loop(*c, order=False), "before it starts"),
        (lambda *c: loop(*c, length=None), "let through"),
        (lambda *c: loop(*c, length=1), "longest + 1"),
        (lambda *c: loop(*c, length=-1), "are refused"),
        (lambda *c: (loop(*c)[0], loop(*c)[1] + 1), "one too far"),
        (lambda *c: (1, 1), "expected"),
    ],
}
RIGHT = {"normalise_answer": clean, "answer_f1": lambda s, g: harmonic(*shared(s, g)), "best_span": loop}


@pytest.mark.parametrize("name, answer, words", [(n, *w) for n, ws in WRONG.items() for w in ws])
def test_a_wrong_answer_is_diagnosed(name, answer, words):
    assert words in getattr(check, name).verdict(answer)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes_and_a_stub_is_not_attempted(name):
    def stub(*args): ...

    assert getattr(check, name).verdict(RIGHT[name]) == CORRECT
    assert getattr(check, name).verdict(stub) == NOT_ATTEMPTED
