"""Exercises of 04_bottleneck_size."""

from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from ..kit.exercise import exercise, random_tensors


class _Products(TorchDispatchMode):
    """Counts the matrix products inside."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += "mm" in str(func)
        return func(*args, **(kwargs or {}))


def _in_two_products(fn):
    with _Products() as products:
        fn(*MEMBERS)
    if products.count > 2:
        return f"right, but in {products.count} matrix products; two do for all members together, without a loop"
    return None


MEMBERS = random_tensors((5, 3, 4), (5, 2, 4), (5, 4, 2))

all_members = exercise("04a", "y, down, up", lambda y, down, up: y + F.gelu(y @ down.mT) @ up.mT,
    [tuple(MEMBERS), tuple(random_tensors((2, 6, 3), (2, 5, 3), (2, 3, 5), seed=1))], """
    F.gelu(y @ down.mT) @ up.mT              # the skip is missing: y + ...
    y + y @ down.mT @ up.mT                  # there is no activation between the two products
    y + F.relu(y @ down.mT) @ up.mT          # the activation is gelu
    y + F.gelu(y @ down[0].T) @ up[0].T      # the first member's matrices serve all members
    y + F.gelu(y @ down.sum(0).T) @ up.sum(0).T
        # the members' matrices are added up; each member keeps its own (in einsum: the same letter in all three)
    y + F.gelu(F.gelu(y @ down.mT) @ up.mT)  # one activation is too many: none behind `up`
""", _in_two_products, gradients=True)  # fmt: skip


WIDE = "it changes its argument; the wide bottleneck is still needed: .clone() first"


def _keep(down, up, size, first=0):
    """Copies of down (units, width) and up (width, units) in which only the units from `first` to `size` are left."""
    down, up = down.clone(), up.clone()
    down[size:], up[:, size:] = 0, 0
    down[:first], up[:, :first] = 0, 0
    return down, up


keep_units = exercise("04b", "down, up, size", _keep,
    [(*random_tensors((4, 6), (6, 4)), size) for size in (3, 1, 4)], """
    right(up, down, size)[::-1]       # that cuts the model's width; the units are down's rows and up's columns
    right(down, up, 99, size)         # it zeroes the units that should stay
    (down[:size], up[:, :size])
        # the shapes must stay as they are, or the sizes no longer fit into one tensor: fill up with zeros
    (right(down, up, size)[0], up)    # up still reads the units that are off
    (down, right(down, up, size)[1])  # down still computes the units that are off; both weights are zero
    right(down, up, size)[::-1]       # the two change places: down first
    right(down, up, size - 1)
    right(down, up, size + 1)         # one unit too many or too few is off: the units 0 to size - 1 stay
    right(down, up, size)[0]          # that is down alone; return both, down and up
""", keeps=dict.fromkeys(("down", "up"), WIDE))  # fmt: skip


def _runs(*scores):
    return ([{"size": size, "validation": validation, "test": test} for size, validation, test in scores],)


# the chosen run is neither first nor last, neither smallest nor largest, and not the one in the middle either
chosen_on_validation = exercise("04c", "runs", "max(runs, key=lambda run: run['validation'])['test']",
    [_runs((8, 0.80, 0.83), (64, 0.84, 0.81), (256, 0.82, 0.79)), _runs((1, 0.1, 0.2)),
     _runs((64, 0.85, 0.8), (8, 0.6, 0.82), (128, 0.3, 0.4), (2, 0.9, 0.7), (1, 0.5, 0.6))], """
    max(run['test'] for run in runs)                      # it chooses by the test score: test must not choose
    max(run['validation'] for run in runs)                # it reports the validation score of the chosen run
    max(runs, key=lambda run: run['validation'])          # it returns the whole run; return its test score
    max(runs, key=lambda run: run['validation'])['size']  # that is the chosen size; return its test score
    min(runs, key=lambda run: run['validation'])['test']  # it chooses the worst run; take max
    sum(run['test'] for run in runs) / len(runs)          # that is the mean over all runs; one of them is reported
    max(runs, key=lambda run: run['size'])['test']        # it chooses the largest size; validation must choose
    max(runs, key=lambda run: run['validation'] + run['test'])['test']  # test helps to choose; validation alone must
""")  # fmt: skip

QUIZ = """c a b
    1 a  # a head has some 770 numbers here, and 14,592 are to be explained
    1 b  # what fills up is zero and stays zero: it is not trained, and not counted
    2 b  # a reason is soon found for any order; ask first how sure the order is
    2 c  # the larger one scored lower there, so it is not always
    3 a  # in a dense matrix a zero takes as much room as any other number
    3 c  # with `up` at zero the new bank's output is the same; think of the step after
"""
