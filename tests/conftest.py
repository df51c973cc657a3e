"""What all tests share: no network, no home folder, TensorFlow started once and quietly."""

import signal
import socket
from collections import OrderedDict

import places
import pytest

from kdistill.core import backend

FASHION_MNIST = places.DATA / "fashion-mnist"

pytest_plugins = ["small_experiment"]

backend.start(threads=1, device="cpu")


def pytest_configure():
    """Keep the compiled steps of all tests, which have more shapes than those of a command: compiling takes seconds."""
    from kdistill.training import compiled_loop

    compiled_loop.ENGINES_KEPT = 64


_engines_without_xla = OrderedDict()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """By default, train without XLA outside the tests of training: to compile takes most of a short run's time.

    The other tiers compile as users do: there, runs in this process are compared with those of others to the bit.
    What a fixture of the session trains is compared so with what a later test trains: a fixture that is set up for one
    module, after those of the session, would come too late, and an engine that was compiled with XLA is kept apart.
    """
    from kdistill.training import compiled_loop

    is_default = "not slow" in item.config.option.markexpr
    with pytest.MonkeyPatch.context() as patch:
        if is_default and "training" not in item.path.parts:
            patch.setattr(compiled_loop, "_suits_xla", lambda model: False)
            patch.setattr(compiled_loop, "_engines", _engines_without_xla)
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _signals_of_a_terminal():
    """Take signals as a process in a terminal does, and its children too, whatever the parent of the tests ignores.

    Under nohup SIGHUP is ignored, in a background job of a shell SIGINT.
    """
    defaults = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in defaults.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _sandbox(monkeypatch, tmp_path_factory):
    """Point every folder that is not the test's own elsewhere, and allow connections to this machine alone."""
    elsewhere = tmp_path_factory.getbasetemp() / "elsewhere"
    for variable in ("HOME", "XDG_CACHE_HOME", "KERAS_HOME", "KDISTILL_CACHE_DIR"):
        monkeypatch.setenv(variable, str(elsewhere / variable.lower()))
    for variable in ("KDISTILL_DATA_DIR", "KDISTILL_OUTPUT_DIR", "KDISTILL_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    connect = socket.socket.connect

    def guarded(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "localhost", "::1"):
            raise AssertionError(f"a test tried to reach the network: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def fashion_mnist_dir():
    """The folder of the real Fashion-MNIST files, where the checkout has them beside it."""
    if not FASHION_MNIST.is_dir():
        pytest.skip("Fashion-MNIST is not beside this checkout")
    return FASHION_MNIST


@pytest.fixture
def few_pictures(monkeypatch):
    """All of a page but most of its pictures, which take seconds."""
    from small_experiment import with_few_pictures

    from kdistill.report.collect import collector

    original = collector.collect
    monkeypatch.setattr(collector, "collect", lambda *of: with_few_pictures(original(*of)))
