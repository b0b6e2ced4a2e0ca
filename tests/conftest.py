"""Fixtures for all tests. Two cores are shared by two test processes: one thread each."""

import importlib.util
import os
import sys

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config):
    """Compile the renderer once, before the worker processes start, so that they find it in the cache."""
    workers = getattr(config.option, "numprocesses", None)
    if workers and not hasattr(config, "workerinput") and importlib.util.find_spec("depthprobe.data.scenes"):
        from depthprobe.data import DATASETS, load_dataset

        if "scenes" in DATASETS:
            load_dataset("scenes", n=1).load([0])


@pytest.fixture(autouse=True)
def _few_threads():
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def tiny():
    """Tiny data and models, with the probe `tiny_gain` registered while the test runs."""
    import tiny as module

    with module.register():
        yield module
