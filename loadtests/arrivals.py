"""When was a request *meant* to be sent?

A website's visitors do not wait for each other's answers. Each user here has a timetable that a slow answer does not move: a missed
arrival is made up at once and its latency is counted from the moment it was meant for. So a server that stands still for two seconds
at 200 requests a second shows some 400 slow requests, and not one for each user. At most one request of each user is in flight.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Timetable:
    """One user's intended send times: `first`, and every `interval` seconds after it."""

    next_s: float
    interval_s: float

    def take(self) -> float:
        """The intended time of the request that is sent now; the next call gives the one after it."""
        intended_s, self.next_s = self.next_s, self.next_s + self.interval_s
        return intended_s

    def wait_s(self, *, now_s: float) -> float:
        """How long until the next request is due; nothing when it is overdue."""
        return max(0.0, self.next_s - now_s)
