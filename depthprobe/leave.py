"""A user's yes or no as a text: an option in a name, or a variable of the environment."""

from depthprobe.checks import check_one_of

WORDS = {"": False, "0": False, "no": False, "false": False, "1": True, "yes": True, "true": True}
"""What counts as yes and no, in small letters; nothing said is no."""


def says_yes(name: str, text: str) -> bool:
    """Whether a text is a yes.

    Raises:
        ValueError: naming `name`, if it is neither yes nor no.
    """
    check_one_of(name, text.lower(), WORDS)
    return WORDS[text.lower()]
