"""The report of an inspection: one HTML file that needs nothing else, opened from disk."""

from .page import report_html

__all__ = ["report_html"]
