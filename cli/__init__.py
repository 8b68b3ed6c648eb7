"""The ``sdflow`` command line: arguments to library calls, errors to messages and exit codes."""
