"""Exercises of 10_lora."""

from ..kit.exercise import KEEP_Y, exercise, random_tensors

# x, y, A, B, alpha: 3 inputs, 4 outputs, rank 2; and all of them 3, where a wrong order fits as well
FORWARDS = [
    (*random_tensors((5, 3), (5, 4), (2, 3), (4, 2)), 6.0),
    (*random_tensors((1, 3), (1, 4), (2, 3), (4, 2)), 5.0),
    (*random_tensors((5, 3), (5, 3), (3, 3), (3, 3)), 7.0),
]

lora_forward = exercise("10a", "x, y, A, B, alpha", "y + alpha / A.shape[0] * x @ A.T @ B.T", FORWARDS, """
    y + alpha / len(A) * x @ B.T @ A.T  # x meets B first; it must meet A first, which takes it down to r numbers
    y + alpha / len(A) * x @ A @ B
    y + alpha / len(A) * x @ A.T @ B
    y + alpha / len(A) * x @ A @ B.T            # a matrix is not transposed: for rows x, A x is written x @ A.T
    x + alpha / len(A) * x @ A.T @ B.T          # it adds to x; the change belongs on y, the frozen matrix's output
    alpha / len(A) * x @ A.T @ B.T              # the frozen matrix's output y is missing
    y + x @ A.T @ B.T                           # the scale alpha / r is missing
    y + alpha * x @ A.T @ B.T                   # the scale is alpha; it must be divided by r
    y + alpha / len(A) ** 0.5 * x @ A.T @ B.T
        # the scale is alpha / sqrt(r), the rank-stabilised one; here it is alpha / r
    y + len(A) / alpha * x @ A.T @ B.T          # the scale is upside down: r / alpha
    y + alpha / A.shape[1] * x @ A.T @ B.T
    y + alpha / B.shape[0] * x @ A.T @ B.T      # it divides by the width of x or y; r is the number of rows of A
    y + alpha // len(A) * x @ A.T @ B.T         # alpha // r cuts the fraction off; the scale is alpha / r
    alpha / len(A) * (y + x @ A.T @ B.T)        # y is scaled too; only B A x has the scale
    y + alpha / len(A) * F.relu(x @ A.T) @ B.T  # there is no activation between A and B: that would be an adapter
    y + alpha / len(A) * y @ A.T @ B.T          # A reads y; it must read x, what went into the frozen matrix
""", gradients=True, keeps={"y": KEEP_Y})  # fmt: skip

# x, g, A, scale, lr: rows of 3 inputs and 4 outputs, rank 2; and all of them 3, where a wrong order fits as well
STEPS = [
    (*random_tensors((5, 3), (5, 4), (2, 3), seed=1), 3.0, 0.1),
    (*random_tensors((6, 3), (6, 3), (3, 3), seed=2), 0.5, 0.2),
]
SIGN = "(g.T @ (x @ A.T)).sign()"

first_step = exercise("10b", "x, g, A, scale, lr", f"-lr * scale * x @ A.T @ {SIGN}.T", STEPS, f"""
    -lr * {SIGN}                                      # that is the new B; the output moves by scale · B A x
    -lr * scale * scale * x @ A.T @ (g.T @ (x @ A.T)).T
    -lr * scale * x @ A.T @ (g.T @ (x @ A.T)).T
        # that is a step of plain gradient descent; Adam's first step keeps the sign of each entry alone
    lr * scale * x @ A.T @ {SIGN}.T                   # it goes up the gradient: B is minus the rate times the sign
    -lr * x @ A.T @ {SIGN}.T
        # the scale stands in front of B A x, too: the sign forgets the one in the gradient, this one stays
    -lr * scale * scale * x @ A.T @ {SIGN}.T          # the scale counts once: the sign has forgotten the gradient's
    -scale * x @ A.T @ {SIGN}.T                       # the rate is missing: each entry of B moves by lr
    -lr * scale * x @ (g.T @ x).sign().T              # that is a step of W itself; B's gradient is g against A x
    -lr * scale * (x @ A.T @ (g.T @ (x @ A.T)).T).sign()  # the sign is that of B's gradient, not of the change
    -lr * scale * x @ A.T @ (g.T.sign() @ (x @ A.T)).T    # the sign comes last: of the whole gradient of B, not of g
""")  # fmt: skip

# W, A, B, scale: 4 x 3 of rank 2; 3 x 3 of rank 2, where a transpose fits; 3 x 3 of rank 3, where A B fits.
# No scale is the rank, its square or 1, and one is negative: merging may subtract.
MERGES = [
    (*random_tensors((4, 3), (2, 3), (4, 2)), 3.0),
    (*random_tensors((3, 3), (2, 3), (3, 2)), -0.5),
    (*random_tensors((3, 3), (3, 3), (3, 3)), 2.0),
]

lora_merge = exercise("10c", "W, A, B, scale", "W + scale * B @ A", MERGES, """
    W + scale * A @ B           # it adds A B; x meets A first, so the product is B A
    W + scale * (B @ A).T       # the change is transposed: B A is (outputs, inputs), as W is
    scale * B @ A               # W is missing: this is the change alone
    W + B @ A                   # the scale is missing
    W - scale * B @ A           # it subtracts: that is what unmerging would do
    scale * (W + B @ A)         # W is scaled too
    W + scale / len(A) * B @ A
    W + scale * scale * B @ A   # the scale counts once: it is alpha / r already
    W + abs(scale) * B @ A      # the scale may be negative, and keeps its sign
""", keeps={"W": "it changes W itself; return a new matrix, and the old one is still there to go back to"})  # fmt: skip

QUIZ = """a 64 b a
    1 b   # A's gradient has B as a factor, and B is not zero here
    1 c   # the change is B A x: put A = 0 in
    2 16  # α / r then falls to a quarter
    2 4   # α has to move the way that r moves
    2 *   # solve α / 32 = 16 / 8
    3 a   # half the rank has fewer, too, and hardly gains time
    3 c   # all layers have one shape
    4 b   # in real numbers it does; bfloat16 keeps 8 bits of each sum
    4 c   # it is a fast operation, and time is not what goes wrong here
"""
