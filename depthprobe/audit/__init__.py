"""audit(): everything that is asked of one network, beside networks of the package, as one run.

* presets: which probes, on how many samples, under which protocol
* references: the networks that it stands beside, and where their rows are kept for the next audit
* training: a backbone without a trained decoder is given one first
* measure: audit
"""

from depthprobe.audit.measure import audit
from depthprobe.audit.training import Trained, is_bare, train_bare

__all__ = ["Trained", "audit", "is_bare", "train_bare"]
