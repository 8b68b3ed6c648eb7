"""SDFlow: a many-to-many mapping between sharp and real low-quality photographs, and its joint training."""

__version__ = "0.1.0"
