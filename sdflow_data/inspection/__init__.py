"""Inspection of datasets and photographs: measurement, comparison with real photographs, verdicts, report."""
