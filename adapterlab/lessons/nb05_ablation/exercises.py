"""Exercises of 05_ablation."""

import torch

from ..kit.exercise import exercise


def _ablate(at, layer_of, first, last, score):
    """The score without the adapters of layers first to last; `at` is as before afterwards."""
    out = {site: at[site] for site, layer in layer_of.items() if first <= layer <= last}
    for site in out:
        at[site] = []
    result = score()
    at.update(out)
    return result


class Present:
    """Stands in for the model's score: a number that tells which sites of `at` have their adapters."""

    def __init__(self, at):
        self.at = at

    def __call__(self):
        return sum(0.5 ** (i + 1) for i, site in enumerate(sorted(self.at)) if self.at[site])


def _model(depth, first, last):
    """A case: two sites a layer, and a norm and a head that belong to no layer's adapters."""
    layer_of = {f"layers.{i}.{half}": i for i in range(depth) for half in ("attention", "feedforward")}
    at = {site: ["bottleneck"] for site in layer_of} | {"layers.0.norm.0": ["norm"], "head": ["head"]}
    return at, layer_of, first, last, Present(at)


def _without(at, sites, score):
    return _ablate(at, dict.fromkeys(sites, 0), 0, 0, score)


ablate = exercise("05a", "at, layer_of, first, last, score", _ablate,
    [_model(6, 1, 3), _model(6, 0, 5), _model(6, 4, 4), _model(12, 0, 4)], """
    score()  # it scores with every adapter in place: empty their lists first, then call score()
    right(at, layer_of, first, last - 1, score)
    right(at, layer_of, first + 1, last, score)
    right(at, layer_of, first + 1, last - 1, score)  # an end of the span keeps its adapters; it includes first and last
    without(at, [site for site, i in layer_of.items() if i in (first, last)], score)
        # only the two ends of the span lose their adapters; the layers between them must, too
    without(at, [site for site, i in layer_of.items() if not first <= i <= last], score)
    without(at, list(layer_of), score)  # layers outside the span lose their adapters; only those within it must
    without(at, list(at), score)
        # everything is out, LayerNorms and head as well: only the sites of layer_of hold adapters to take out
""", names={"without": _without},
    keeps={"at": "the score is right, but `at` is not as it was: put the lists back before you return"})  # fmt: skip


def _run_all(layer, patterns, x, key=lambda pattern, k: pattern[:k]):
    """{pattern: output of the last layer}; layer(k, h, on) is layer k, called once for every distinct beginning.

    key: what the output of k layers is remembered by, () for none.
    """
    known = {}
    for pattern in patterns:
        known[key(pattern, 0)] = x
        for k, on in enumerate(pattern, 1):
            if key(pattern, k) not in known:
                known[key(pattern, k)] = layer(k - 1, known[key(pattern, k - 1)], on)
    return {pattern: known[key(pattern, len(pattern))] for pattern in patterns}


def _naive(layer, patterns, x):
    return {pattern: _run_all(layer, [pattern], x)[pattern] for pattern in patterns}


def _toy(k, h, on):
    """Layer k of a toy model."""
    return torch.tanh(h * (1.0 + 0.1 * k) + (0.3 + 0.2 * k if on else -0.1 * k))


def _all(depth):
    """The intact model's mask and every span's, one bool a layer."""
    spans = [(i, j) for i in range(depth) for j in range(i, depth)]
    return [(True,) * depth, *(tuple(not i <= k <= j for k in range(depth)) for i, j in spans)]


def _calls(fn, patterns):
    """How often fn evaluates a layer."""
    calls = []
    fn(lambda k, h, on: calls.append(k) or _toy(k, h, on), patterns, torch.tensor([0.5]))
    return len(calls)


def _shares(fn):
    """The values may be right and the work wasted: count the layers that ran."""
    for patterns in ([(True, True), (True, False), (False, False)], _all(4), _all(6)):
        got, due, naive = (_calls(f, patterns) for f in (fn, _run_all, _naive))
        if got > due:
            how = "it is the naive loop" if got == naive else "only the distinct beginnings pattern[:k + 1] have to run"
            return f"right, but with {got} layer evaluations, where {due} do: {how}"
    return None


MASKS = [_all(3), [(True, False), (True, True), (False, True)], [(True, False, True), (False, False, True)]]

run_all = exercise("05b", "layer, patterns, x", _run_all,
    [(_toy, masks, torch.tensor([0.5, -1.0])) for masks in MASKS], """
    right(layer, patterns, x, lambda p, k: (k, p[k - 1]) if k else ())
        # a layer's output depends on all switches below it, not on its own alone: remember by pattern[:k + 1]
    {p: x for p in patterns}                                        # no layer runs: every pattern gets x itself
    {p: layer(len(p) - 1, x, p[-1]) for p in patterns}              # only the last layer runs
    naive(layer, [tuple(not on for on in p) for p in patterns], x)  # the patterns come back turned round
    {p: naive(layer, [p[::-1]], x)[p[::-1]] for p in patterns}      # the first entry of a pattern is the lowest layer
    {p: naive(layer, [p[:-1]], x)[p[:-1]] for p in patterns}        # the last layer does not run
""", _shares, names={"naive": _naive})  # fmt: skip

QUIZ = """a 0.8
    1 b      # the sentences are counted: no rounding is that large
    1 c      # that holds for the single layers' drops as well, so it does not tell the two apart
    2 1.6    # that is the drop itself
    2 0.008  # that is a share: give it in points, of which 100 are all sentences
    2 *      # it is √(changes − difference² / n) / n for n sentences, times 100 for points
"""
