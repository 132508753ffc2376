"""Is this process started, and does it want more work? Asked by the probes; no dependency is ever asked."""

from dataclasses import dataclass


@dataclass(slots=True)
class Health:
    """Set by the life cycle, read by the probes and the edge."""

    started: bool = False
    draining: bool = False  # asked to stop: answers whatever still comes, no longer ready, and ends every connection

    @property
    def ready(self) -> bool:
        """Whether new requests should be sent here."""
        return self.started and not self.draining
