"""Holdfast keeps AI-agent sessions alive, accounted for, and recoverable.

The version lives here. Nothing is imported here: what a command does not need must not cost it start-up time.
"""

__version__ = "0.1.0.dev0"
