"""fit(): one readable training loop on Lightning Fabric; the only place that changes weights.

* recipe: everything that decides a training; shipped recipes by name
* order: which samples make up a step, and the key of each one's chance
* schedule: the learning rate of a step
* network: the network that a recipe starts from, and its optimiser
* devices: processes, device and precision
* feed: batches, read ahead and augmented
* average: the running average of the weights
* checkpoint: weights, and the state from which a training goes on exactly
* guard: what stops a training: numbers that are not finite, memory
* validation: the protocol's scores on held-out samples
* meter: what is counted between two lines of the history
* history: what is written down: rows of the measurement table, CSV, TensorBoard
* loop: fit
"""

from depthprobe.train.checkpoint import save_weights
from depthprobe.train.loop import fit
from depthprobe.train.network import initial
from depthprobe.train.recipe import Recipe, read_recipe
from depthprobe.train.recipes import RECIPES
from depthprobe.train.validation import score

__all__ = ["RECIPES", "Recipe", "fit", "initial", "read_recipe", "save_weights", "score"]
