"""Data sets: everything that makes a Batch. Importing this package registers the data sets."""

from depthprobe.data import (  # noqa: F401  (registers the data sets)
    diode,
    folder,
    hub,
    ibims,
    kitti,
    nyu,
    scenes,
    seven_scenes,
    sunrgbd,
    tum,
)
from depthprobe.data.batch import Batch, stack
from depthprobe.data.dataset import DATASETS, Dataset, SampleError, load_dataset

__all__ = ["DATASETS", "Batch", "Dataset", "SampleError", "load_dataset", "stack"]
