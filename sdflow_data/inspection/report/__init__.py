"""The report of an inspection: one HTML file that needs nothing else, opened from disk."""

from .page import report_html
from .photographs import photographs_page

__all__ = ["photographs_page", "report_html"]
