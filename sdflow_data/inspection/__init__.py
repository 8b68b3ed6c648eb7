"""Inspection of a dataset: its statistics beside those of real photographs, verdicts, a report."""
