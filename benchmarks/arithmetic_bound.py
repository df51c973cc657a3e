"""The floor: the matrix products of the student's forward and backward pass, and nothing else, on one core.

Counted, for each batch of 32: x @ W1, h @ W2, and going back d2 @ W2', h' @ d2, x' @ d: about 19.5 million
multiplications and additions. Not counted: gathering and scaling the images, biases, ReLU, softmax and the loss,
Adam (some 102,000 weights, each with two moments), and the teacher. No engine reaches it; it says how much is left.

Three ways to multiply the same matrices (`--with numpy`, `tf`, `xla`); the table has the fastest. The inputs go
round 64 different batches, so that nothing is loop-invariant and gets hoisted, and each product is kept.
"""

import numpy as np

from benchmarks import protocol, workload
from benchmarks.workload import BATCH, STUDENT

BATCHES_KEPT = 64


class Operands:
    """Random matrices of the right shapes: a stack of 64 for what changes with the batch."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        inputs, hidden, classes = STUDENT

        def matrix(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape, dtype=np.float32)

        self.x = matrix(BATCHES_KEPT, BATCH, inputs)
        self.h = matrix(BATCHES_KEPT, BATCH, hidden)
        self.d = matrix(BATCHES_KEPT, BATCH, hidden)
        self.d2 = matrix(BATCHES_KEPT, BATCH, classes)
        self.w1, self.w2 = matrix(inputs, hidden), matrix(hidden, classes)


def main() -> None:
    """Run the worker."""
    parser = protocol.parser(__doc__)
    parser.add_argument("--with", dest="library", choices=["numpy", "tf", "xla"], default="numpy")
    options = parser.parse_args()
    session = protocol.Session()
    steps = max(1, options.images // workload.BATCH)
    if options.library == "numpy":
        run_epoch = in_numpy(Operands(), steps)
    else:
        run_epoch = in_tensorflow(Operands(), steps, xla=options.library == "xla")
    protocol.serve(session, run_epoch, data="random matrices")


def in_numpy(operands: Operands, steps: int):  # type: ignore[no-untyped-def]
    """Return a function that does all the products with NumPy's BLAS, into memory allocated once."""
    x, h, d, d2 = operands.x, operands.h, operands.d, operands.d2
    w1, w2 = operands.w1, operands.w2
    out = [a @ b for a, b in ((x[0], w1), (h[0], w2), (d2[0], w2.T), (h[0].T, d2[0]))]
    out.append(x[0].T @ d[0])

    def run_epoch() -> None:
        for step in range(steps):
            i = step % BATCHES_KEPT
            np.matmul(x[i], w1, out=out[0])
            np.matmul(h[i], w2, out=out[1])
            np.matmul(d2[i], w2.T, out=out[2])
            np.matmul(h[i].T, d2[i], out=out[3])
            np.matmul(x[i].T, d[i], out=out[4])

    return run_epoch


def in_tensorflow(operands: Operands, steps: int, xla: bool):  # type: ignore[no-untyped-def]
    """Return a function that does all the products in one compiled loop, each result carried to the next turn."""
    import tensorflow as tf

    w1, w2 = operands.w1, operands.w2

    @tf.function(jit_compile=xla)
    def loop(x, h, d, d2, steps):  # type: ignore[no-untyped-def]
        def products(i):  # type: ignore[no-untyped-def]
            return (
                tf.matmul(x[i], w1),
                tf.matmul(h[i], w2),
                tf.matmul(d2[i], w2, transpose_b=True),
                tf.matmul(h[i], d2[i], transpose_a=True),
                tf.matmul(x[i], d[i], transpose_a=True),
            )

        kept = products(0)
        for step in tf.range(1, steps):
            kept = products(step % BATCHES_KEPT)
        return kept

    stacks = [tf.constant(a) for a in (operands.x, operands.h, operands.d, operands.d2)]
    return lambda: [product.numpy() for product in loop(*stacks, tf.constant(steps))]


if __name__ == "__main__":
    main()
