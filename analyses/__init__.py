"""Studies: one question each, with hypothesis, command, cost and expected result in the docstring."""
