"""Memory kept for what comes next: counted in page faults, which do not depend on what else the machine does."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's own limits")

COUNTING = """
import json, resource
from depthprobe.memory import kept_memory

def faults(rounds=8):
    for _ in range(8):
        b"x" * 2**26
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        b"x" * 2**26
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

found = {"outside": faults()}
with kept_memory("cuda"):
    found["another device"] = faults()
try:
    with kept_memory():
        raise ArithmeticError
except ArithmeticError:
    found["failed"] = faults()
with kept_memory():
    found["inside"] = faults()
    with kept_memory():
        found["inner"] = faults()
    found["still inside"] = faults()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def faults():
    """By place the page faults of strings of 64 MB that are made and given back, one after the other."""
    done = subprocess.run([sys.executable, "-c", COUNTING], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("place", ["inside", "inner", "still inside"])
def test_memory_is_kept_within_the_block(faults, place):
    assert faults[place] < faults["outside"] / 5


@pytest.mark.parametrize("place", ["another device", "failed"])
def test_memory_is_given_back(faults, place):
    assert faults[place] > faults["outside"] / 2
