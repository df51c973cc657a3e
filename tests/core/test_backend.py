"""Starting TensorFlow: how many threads, and that a user hears none of its noise."""

import os
import subprocess
import sys

import pytest

from kdistill.core import backend
from kdistill.core.errors import ConfigError


def test_threads_follow_from_the_size_of_a_step():
    assert backend.threads_for(backend.SMALL_STEP_FLOPS * 0.99) == 1
    assert backend.threads_for(backend.SMALL_STEP_FLOPS) == backend.cores()


def test_cores_are_those_this_process_may_use():
    assert 1 <= backend.cores() <= (os.cpu_count() or 1)


def fresh(program, **environment):
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )


@pytest.mark.slow
def test_starting_is_silent_and_sets_the_threads():
    program = (
        "from kdistill.core import backend; backend.start(3, 'cpu')\n"
        "import tensorflow as tf, os\n"
        "assert tf.config.threading.get_intra_op_parallelism_threads() in (0, 3)\n"
        "assert os.environ['TF_NUM_INTRAOP_THREADS'] == '3'\n"
        "tf.function(lambda x: x + 1, jit_compile=True)(tf.ones(3))\n"
    )
    done = fresh(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_noise_that_explains_a_failed_start_is_shown():
    program = (
        "from kdistill.core import backend\n"
        "import os\n"
        "def fail():\n"
        "    os.write(2, b'the reason')\n"
        "    raise ImportError('broken')\n"
        "backend._import = fail\n"
        "backend.start(1)\n"
    )
    done = fresh(program)
    assert done.returncode == 1
    assert "the reason" in done.stderr


def test_noise_of_an_interrupted_start_is_not_shown(capfd):
    def start():
        with backend.quiet_stderr():
            os.write(2, b"noise")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start()
    assert capfd.readouterr().err == ""


def test_a_gpu_is_looked_for_even_if_tensorflow_is_on_already(monkeypatch):
    monkeypatch.setattr(backend, "gpus", list)
    with pytest.raises(ConfigError, match="sees no GPU"):
        backend.start(1, "gpu")


def test_standard_error_is_given_back(capfd):
    with backend.quiet_stderr():
        os.write(2, b"noise")
    os.write(2, b"message")
    assert capfd.readouterr().err == "message"


@pytest.mark.slow
def test_a_gpu_that_is_not_there_is_a_message():
    program = "from kdistill.core import backend; backend.start(1, 'gpu')"
    done = fresh(program, CUDA_VISIBLE_DEVICES="-1")
    assert "TensorFlow sees no GPU" in done.stderr


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_starting_twice_is_harmless(device):
    backend.start(1, device)
    assert isinstance(backend.gpus(), list)
