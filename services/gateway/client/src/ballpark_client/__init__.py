"""Asks Ballpark's gateway which insurers will quote, and at what price.

with Client("http://gateway:8080", key) as ballpark:
    answer = ballpark.quotes({"driver": {"age": 34}, "vehicle": {"vehicle_id": "v-00123"}}, budget_s=0.1)

The types of what is sent and answered are in `ballpark_client.api`, every error in `ballpark_client.errors`.
"""

from ballpark_client.client import AsyncClient, Client
from ballpark_client.errors import (
    BadCall,
    BallparkError,
    Broken,
    Busy,
    Later,
    NoAnswer,
    NotAllowed,
    QuotaUsed,
    Refused,
    TimedOut,
    TooLate,
    Unreachable,
    Unreadable,
)

__all__ = [
    "AsyncClient",
    "BadCall",
    "BallparkError",
    "Broken",
    "Busy",
    "Client",
    "Later",
    "NoAnswer",
    "NotAllowed",
    "QuotaUsed",
    "Refused",
    "TimedOut",
    "TooLate",
    "Unreachable",
    "Unreadable",
]
