"""The start of TensorFlow: once, quietly, on one device and with a fixed number of threads."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from kdistill.core import signals
from kdistill.core.errors import ConfigError, KdistillError

# Training steps with less arithmetic (such as a 784-2048-2048-10 network at batch 64) get one thread: a second thread
# gains at most half, and nothing on a busy machine, where a second run in parallel gains nearly all.
SMALL_STEP_FLOPS = 2e9


def step_flops(multiplications: int, batch_size: int) -> int:
    """Return the floating-point operations of a training step, from the multiply-adds of one forward pass."""
    return 6 * multiplications * batch_size  # two operations each; the backward pass takes twice as many


def threads_for(step_flops: float) -> int:
    """Return the intra-op threads for a training step: one for small steps, every core for large ones.

    Nothing is timed, since the last bits of a result may depend on the number of threads.
    """
    return 1 if step_flops < SMALL_STEP_FLOPS else cores()


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def started() -> bool:
    """Whether TensorFlow has been imported."""
    return "tensorflow" in sys.modules


def start(threads: int, device: str = "auto") -> int:
    """Import TensorFlow and Keras, unless this process has imported them already.

    Args:
        threads: intra-op threads, at least 1.
        device: `auto` (a GPU if TensorFlow sees one), `cpu`, or `gpu`.

    Returns:
        The number of intra-op threads in force.

    Raises:
        ConfigError: the device is `gpu` and there is none.
        KdistillError: TensorFlow cannot be imported.
    """
    if not started():
        _start(threads, device)
    if device == "gpu" and not gpus():
        raise ConfigError(
            "--device gpu: TensorFlow sees no GPU on this machine",
            hint="Use --device cpu, or install `kdistill[gpu]` and run `kdistill doctor`.",
        )
    # Set before the import, by `_start` or by the parent of this process, such as Ray.
    return int(os.environ.get("TF_NUM_INTRAOP_THREADS", threads))


def _start(threads: int, device: str) -> None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    # Code that runs during the import may swallow an interrupt: it is raised afterwards.
    with signals.deferred(), quiet_stderr():
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
    # The first operation prints log lines too, so it is done here, inside `quiet_stderr`.
    tf.zeros(())
    tf.get_logger().setLevel("ERROR")


def clear_keras_session() -> None:
    """Free the names of the variables of deleted models, which takes a tenth of a second.

    TensorFlow 2.21 keeps about 36 kB for each name, and Keras gives the variables of every optimizer new names: without
    this call a process grows by half a megabyte a run.
    """
    if started():
        import keras

        keras.utils.clear_session(free_memory=False)


def gpus() -> list[str]:
    """Return the names of the GPUs that TensorFlow sees."""
    import tensorflow as tf

    return [device.name for device in tf.config.list_physical_devices("GPU")]


@contextlib.contextmanager
def quiet_stderr(shown_on_failure: bool = True) -> Iterator[None]:
    """Redirect file descriptor 2 to a temporary file: no setting silences all of TensorFlow's log lines.

    Args:
        shown_on_failure: print the redirected lines after an exception (not after an interrupt): they may explain it.
    """
    _flush_stderr()
    with tempfile.TemporaryFile() as redirected:
        stderr = os.dup(2)
        os.dup2(redirected.fileno(), 2)
        failed = False
        try:
            yield
        except Exception:
            failed = True
            raise
        finally:
            _flush_stderr()
            os.dup2(stderr, 2)
            os.close(stderr)
            if failed and shown_on_failure:
                redirected.seek(0)
                with contextlib.suppress(OSError):
                    sys.stderr.write(redirected.read().decode(errors="replace"))


def _flush_stderr() -> None:
    with contextlib.suppress(OSError):  # a closed pipe
        sys.stderr.flush()
