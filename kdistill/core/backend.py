"""Starts TensorFlow once, quietly, with a settled number of threads. Imported before anything that needs it."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from kdistill.core import signals
from kdistill.core.errors import ConfigError, KdistillError

# Below this much arithmetic in one training step (a 784-2048-2048-10 network at batch 64, say) one thread. A second one
# gains half at most on smaller steps, and nothing on a busy machine; a second run beside the first gains nearly all.
SMALL_STEP_FLOPS = 2e9


def step_flops(multiplications: int, batch_size: int) -> int:
    """Return the floating-point operations of a training step.

    Args:
        multiplications: for one example, going forward, each with its addition; see `arithmetic`. Backward takes twice
            as many.
        batch_size: examples in a step.
    """
    return 6 * multiplications * batch_size


def threads_for(step_flops: float) -> int:
    """Return the intra-op threads for a training step of `step_flops` floating-point operations.

    One thread for small steps, every core for large ones. Nothing is timed: the same config on the same machine
    always gets the same number, on which the last bits of a result may depend.
    """
    return 1 if step_flops < SMALL_STEP_FLOPS else cores()


def cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def started() -> bool:
    """Whether TensorFlow has been imported."""
    return "tensorflow" in sys.modules


def start(threads: int, device: str = "auto") -> int:
    """Import TensorFlow and Keras with `threads` intra-op threads, unless they have been; return the number in force.

    Args:
        threads: at least 1.
        device: `auto` (a GPU if TensorFlow sees one), `cpu`, or `gpu`.

    Raises:
        ConfigError: `gpu` was asked for and there is none.
        KdistillError: TensorFlow cannot be imported.
    """
    if not started():
        _start(threads, device)
    if device == "gpu" and not gpus():
        raise ConfigError(
            "--device gpu: TensorFlow sees no GPU on this machine",
            hint="Use --device cpu, or install `kdistill[gpu]` and run `kdistill doctor`.",
        )
    # Set before the import, by `_start` or by whoever started this process: Ray, for one.
    return int(os.environ.get("TF_NUM_INTRAOP_THREADS", threads))


def _start(threads: int, device: str) -> None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    # An interrupt may be swallowed by what is called in the middle of an import: it is raised at its end.
    with signals.held_back(), noise_held_back():
        _import()


def _import() -> None:
    try:
        import keras
        import tensorflow as tf
    except ImportError as error:
        raise KdistillError(
            f"TensorFlow cannot be imported: {error}",
            hint="Reinstall with `pip install --force-reinstall tensorflow`.",
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            f"Keras runs on {keras.backend.backend()!r} here; kdistill needs 'tensorflow'",
            hint="Set KERAS_BACKEND=tensorflow.",
        )
    # The first use of the runtime prints too: let it happen while standard error is held back.
    tf.zeros(())
    tf.get_logger().setLevel("ERROR")


def forget_models() -> None:
    """Let TensorFlow forget the names of variables of models that are gone, which costs a tenth of a second.

    It keeps some 36 kB for each name that it has met (of TensorFlow 2.21), and Keras numbers the variables of an
    optimizer on and on: a process that makes a hundred runs would grow by as many times half a megabyte.
    """
    if started():
        import keras

        keras.utils.clear_session(free_memory=False)


def gpus() -> list[str]:
    """Return the names of the GPUs that TensorFlow sees."""
    import tensorflow as tf

    return [device.name for device in tf.config.list_physical_devices("GPU")]


@contextlib.contextmanager
def noise_held_back(shown_on_failure: bool = True) -> Iterator[None]:
    """Send file descriptor 2 to a temporary file: the log lines of TensorFlow and its converters obey no setting.

    Args:
        shown_on_failure: print what was held back if an exception comes, since it may say why; not if interrupted.
    """
    _flush_stderr()
    with tempfile.TemporaryFile() as held:
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        failed = False
        try:
            yield
        except Exception:
            failed = True
            raise
        finally:
            _flush_stderr()
            os.dup2(kept, 2)
            os.close(kept)
            if failed and shown_on_failure:
                held.seek(0)
                with contextlib.suppress(OSError):
                    sys.stderr.write(held.read().decode(errors="replace"))


def _flush_stderr() -> None:
    with contextlib.suppress(OSError):  # nobody may be reading it any more
        sys.stderr.flush()
