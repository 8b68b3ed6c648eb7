"""The report of an inspection: one self-contained HTML file."""

from .page import report_html
from .photographs import photographs_page

__all__ = ["photographs_page", "report_html"]
