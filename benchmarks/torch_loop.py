"""Competitor: a plain loop in PyTorch, the teacher run under `no_grad` in every step.

Kinder than what most people write: the data is one tensor indexed by a permutation, without the `DataLoader`, which
costs several times the training at this size. `--tuned` is the expert's version: teacher logits computed once, and the
fused Adam, which is not the default on CPUs.
"""

import time
from itertools import pairwise

from benchmarks import protocol


def main() -> None:
    """Run the worker."""
    parser = protocol.parser(__doc__)
    parser.add_argument("--tuned", action="store_true")
    options = parser.parse_args()
    session = protocol.Session()
    import torch

    from benchmarks import workload

    data = workload.load(images=options.images)
    images = torch.from_numpy(data.images.reshape(-1, 784).astype("float32") / 255)
    labels = torch.from_numpy(data.labels.astype("int64"))
    student, teacher = mlp(workload.STUDENT, seed=1), mlp(workload.TEACHER, seed=2).eval()
    optimizer = torch.optim.Adam(student.parameters(), lr=workload.LEARNING_RATE, fused=options.tuned or None)
    started = time.perf_counter()
    with torch.no_grad():
        cached = teacher(images) if options.tuned else None
    once = time.perf_counter() - started

    def run_epoch() -> float:
        order = torch.randperm(len(images))
        total = 0.0
        for batch in order.split(workload.BATCH):
            x = images[batch]
            if cached is None:
                with torch.no_grad():
                    teacher_logits = teacher(x)
            else:
                teacher_logits = cached[batch]
            loss = distillation_loss(labels[batch], teacher_logits, student(x))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total

    protocol.serve(session, run_epoch, threads=torch.get_num_threads(), data=data.source, once=once)


def distillation_loss(labels, teacher_logits, student_logits):  # type: ignore[no-untyped-def]
    """Return the mean loss of a batch."""
    from torch.nn import functional

    from benchmarks.workload import ALPHA, TEMPERATURE

    soft = TEMPERATURE**2 * functional.kl_div(
        functional.log_softmax(student_logits / TEMPERATURE, dim=-1),
        functional.softmax(teacher_logits / TEMPERATURE, dim=-1),
        reduction="batchmean",
    )
    return ALPHA * soft + (1 - ALPHA) * functional.cross_entropy(student_logits, labels)


def mlp(sizes: tuple[int, ...], seed: int):  # type: ignore[no-untyped-def]
    """Return the net as a `Sequential`, with the same initial weights as in Keras."""
    import torch

    from benchmarks import workload

    layers: list = []
    for inputs, outputs in pairwise(sizes):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for parameter, array in zip(model.parameters(), workload.weights(sizes, seed), strict=True):
            parameter.copy_(torch.from_numpy(array.T.copy()))
    return model


if __name__ == "__main__":
    main()
