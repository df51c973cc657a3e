"""The rows of the epoch table, and the ways each may be run.

A competitor is measured in every way listed for it (its library's default threads and one thread, mostly), all of them
alternating, and its row shows the fastest median: the choice is made in its favour, after the fact. Ours has one way,
the one that the program itself chooses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

ONE_TF_THREAD = {"TF_NUM_INTRAOP_THREADS": "1"}
# TensorFlow runs independent products side by side as well, so one intra-op thread alone may still keep two cores busy.
ONE_TF_CORE = {**ONE_TF_THREAD, "TF_NUM_INTEROP_THREADS": "1"}
ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Way:
    """One way of running a competitor: how the table calls it, further arguments, environment variables."""

    label: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Competitor:
    """One row of the table: the module under `benchmarks` to run as a worker, and the ways to run it.

    `any_net`: it takes `--net` and `--batch`; the others know the article's net at batch 32 alone.
    """

    name: str
    module: str
    ways: tuple[Way, ...]
    torch: bool = False
    any_net: bool = False


def _keras_ways(*arguments: str) -> tuple[Way, ...]:
    return (
        Way("default threads", arguments),
        Way("1 thread", arguments, ONE_TF_THREAD),
    )


def _torch_ways(*arguments: str) -> tuple[Way, ...]:
    return (
        Way("default threads", arguments),
        Way("1 thread", arguments, {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}),
    )


OURS = "kdistill"
BOUND = "arithmetic bound"
STEPS_64 = ("--steps-per-execution", "64")

COMPETITORS = (
    Competitor(OURS, "ours", (Way("1 thread", (), ONE_TF_THREAD),), any_net=True),
    Competitor("article loop", "article_loop", _keras_ways()),
    Competitor("keras Distiller", "keras_distiller", _keras_ways()),
    Competitor("fit, cached", "keras_fit_cached", _keras_ways(), any_net=True),
    Competitor("fit, cached, 64 steps", "keras_fit_cached", _keras_ways(*STEPS_64), any_net=True),
    Competitor("fit, cached, 64 steps, XLA", "keras_fit_cached", _keras_ways(*STEPS_64, "--xla"), any_net=True),
    Competitor("torch loop", "torch_loop", _torch_ways(), torch=True),
    Competitor("torch loop, tuned", "torch_loop", _torch_ways("--tuned"), torch=True),
    Competitor(
        BOUND,
        "arithmetic_bound",
        (
            Way("numpy, 1 core", ("--with", "numpy"), ONE_BLAS_THREAD),
            Way("tf, 1 core", ("--with", "tf"), ONE_TF_CORE),
            Way("xla, 1 core", ("--with", "xla"), ONE_TF_CORE),
        ),
    ),
)

# Our soft losses, and hints with cached features, beside kl, which OURS minimises, with the most that an epoch may take
# of one with kl.
LOSS_BOUNDS = {"mse": 1.1, "dkd": 1.1, "nkd": 1.1, "dist": 1.5, "wttm": 1.1, "wsld": 1.1, "standardize": 1.1}
LOSS_BOUNDS |= {"hint-mse": 1.3, "hint-rkd": 1.5}


def of_losses() -> tuple[Competitor, ...]:
    """Return the rows of `--losses`: kl, and each other soft loss."""
    rows = [
        Competitor(
            f"{loss} (at most {bound:g})", "ours", (Way("1 thread", ("--loss", loss), ONE_TF_THREAD),), any_net=True
        )
        for loss, bound in LOSS_BOUNDS.items()
    ]
    return (COMPETITORS[0], *rows)


TEACHER, MIXED = "teacher's forward pass", "mixup"
MIXUP_BOUND = 1.2  # an epoch with mixup takes at most this times the student's steps and the teacher's forward pass


def of_mixup() -> tuple[Competitor, ...]:
    """Return the rows of `--mixup`: the student's steps, the teacher's forward pass, and an epoch with both."""
    alone, both = (Way("1 thread", more, ONE_TF_THREAD) for more in (("--teacher-alone",), ()))
    return (
        COMPETITORS[0],
        Competitor(TEACHER, "asked_teacher", (alone,), any_net=True),
        Competitor(MIXED, "asked_teacher", (both,), any_net=True),
    )


def ours_on(threads: int) -> Way:
    """Return the way of running kdistill with so many threads, whatever it would settle for."""
    label = "1 thread" if threads == 1 else f"{threads} threads"
    return Way(label, ("--threads", str(threads)), {"TF_NUM_INTRAOP_THREADS": str(threads)})
