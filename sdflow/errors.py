"""The one error root of the project."""


class SDFlowError(Exception):
    """A user's mistake or a condition outside the program, reported in one line.

    The message names the file or argument, what was expected and what was found. The command line prints it
    as ``Error: ...`` and exits with status 1; anything else that escapes is a bug.
    """


class ArgumentError(SDFlowError):
    """An unusable value of an argument. The command line names the option that gave it.

    Attributes:
        argument: the name of the argument.
        problem: what was expected and what was found.
    """

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(argument, problem)
        self.argument, self.problem = argument, problem

    def __str__(self) -> str:
        return f"{self.argument}: {self.problem}"
