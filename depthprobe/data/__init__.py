"""Data sets: everything that makes a Batch. Importing this package registers the data sets."""

from depthprobe.data import folder, nyu, scenes  # noqa: F401  (registers the data sets)
from depthprobe.data.batch import Batch, stack
from depthprobe.data.dataset import DATASETS, Dataset, SampleError, load_dataset

__all__ = ["DATASETS", "Batch", "Dataset", "SampleError", "load_dataset", "stack"]
