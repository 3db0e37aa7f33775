"""What the engine tells whoever traces requests: which of them went into which batch. Off, it costs one comparison."""

from collections.abc import Sequence
from typing import Protocol


class BatchTracer(Protocol):
    """Traces batches, and links each to the requests whose commands it carries out."""

    def current(self) -> object:
        """What stands for the request under way here; None where there is none."""
        ...

    def batch(self, requests: Sequence[object], *, seconds: float) -> None:
        """A batch has just ended, after so many seconds. requests: for each of its commands what `current` was."""
        ...
