"""Exercises of 04_bottleneck_size."""

from ..kit.exercise import exercise, random_tensors


def _trained(width, layers, factor):
    """Parameters of the paper's recipe at a reduction factor, the head not counted."""
    size = width // factor
    return 2 * layers * (2 * size * width + width + size) + (2 * layers + 1) * 2 * width


trained_at_factor = exercise(
    "04a",
    "width, layers, factor",
    _trained,
    [(384, 6, 6), (1024, 24, 16), (12, 2, 3), (768, 12, 96)],
    """
    right(width, layers, width // factor)  # the factor is taken for the size; the size is width // factor
    right(width, layers, factor) - layers * (2 * (width // factor) * width + width + width // factor)
        # a layer holds two bottlenecks, one behind the attention and one behind the feed-forward block
    right(width, layers, factor) - (2 * layers + 1) * 2 * width  # the LayerNorms are trained too
    right(width, layers, factor) - 2 * width                     # the LayerNorm after the embeddings is missing
    right(width, layers, factor) - (2 * layers + 1) * width      # a LayerNorm has a scale and a shift, 2 * width
    right(width, layers, factor) - 2 * layers * (width + width // factor)  # a bottleneck has two biases
    right(width, layers, factor) - 2 * layers * width            # the bias of the way up, `width` numbers, is missing
    right(width, layers, factor) - 2 * layers * (width // factor)  # the bias of the way down, one a unit, is missing
    right(width, layers, factor) - 2 * layers * (width // factor) * width
        # a bottleneck has two matrices, down and up
    """,
)


def _keep(down, up, size):
    """Copies of down (units, width) and up (width, units) in which the units from `size` on are zero."""
    down, up = down.clone(), up.clone()
    down[size:], up[:, size:] = 0, 0
    return down, up


def _first_lost(down, up, size):
    return down - _keep(down, up, size)[0], up - _keep(down, up, size)[1]


keep_units = exercise(
    "04b",
    "down, up, size",
    _keep,
    [(*random_tensors((4, 6), (6, 4)), size) for size in (3, 1, 4)],
    """
    right(up, down, size)[::-1]       # that cuts the model's width; the units are down's rows and up's columns
    first_lost(down, up, size)        # it zeroes the units that should stay
    (down[:size], up[:, :size])
        # the shapes must stay as they are, or the sizes no longer fit into one tensor: fill up with zeros
    (right(down, up, size)[0], up)    # up still reads the units that are off
    (down, right(down, up, size)[1])  # down still computes the units that are off; both weights are zero
    right(down, up, size)[::-1]       # the two change places: down first
    right(down, up, size - 1)         # one unit too many is off: the units 0 to size - 1 stay
    right(down, up, size + 1)         # one unit too few is off: number `size` is the first to go
    right(down, up, size)[0]          # that is down alone; return both, down and up
    """,
    names={"first_lost": _first_lost},
    keeps={
        name: f"it changes {name} itself; the wide bottleneck is still needed: begin with {name}.clone()"
        for name in ("down", "up")
    },
)


def _runs(*scores):
    return ([{"size": size, "validation": validation, "test": test} for size, validation, test in scores],)


chosen_on_validation = exercise(
    "04c",
    "runs",
    "max(runs, key=lambda run: run['validation'])['test']",
    # the chosen run is neither first nor last, neither smallest nor largest, and not the one in the middle either
    [_runs((8, 0.80, 0.83), (64, 0.84, 0.81), (256, 0.82, 0.79)), _runs((1, 0.1, 0.2)),
     _runs((64, 0.85, 0.8), (8, 0.6, 0.82), (128, 0.3, 0.4), (2, 0.9, 0.7), (1, 0.5, 0.6))],
    """
    max(run['test'] for run in runs)                      # it chooses by the test score: test must not choose
    max(run['validation'] for run in runs)                # it reports the validation score of the chosen run
    max(runs, key=lambda run: run['validation'])          # it returns the whole run; return its test score
    max(runs, key=lambda run: run['validation'])['size']  # that is the chosen size; return its test score
    min(runs, key=lambda run: run['validation'])['test']  # it chooses the worst run; take max
    sum(run['test'] for run in runs) / len(runs)          # that is the mean over all runs; one of them is reported
    max(runs, key=lambda run: run['size'])['test']        # it chooses the largest size; validation must choose
    max(runs, key=lambda run: run['validation'] + run['test'])['test']  # test helps to choose; validation alone must
    """,
)  # fmt: skip
