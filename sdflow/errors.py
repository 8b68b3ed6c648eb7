"""The one error root of the project."""


class SDFlowError(Exception):
    """A user's mistake or a condition outside the program, told in one line.

    The message names the file or option, what was expected and what was found. The command line prints it
    as ``Error: ...`` and exits with status 1; anything else that escapes is a bug.
    """
