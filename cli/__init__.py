"""The ``sdflow`` command line: turns arguments into library calls, and errors into messages and exit codes."""
