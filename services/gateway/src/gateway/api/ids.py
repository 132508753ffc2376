"""What is a request called when its caller has not named it?"""

import random
import time
from typing import Final

# Names are told apart by it, nothing is kept secret with it: so it asks the kernel for randomness once, and not for every request.
_random: Final = random.Random()  # noqa: S311 -- see above


def new_id() -> str:
    """A UUID of version 7: unique, and in the order of time."""
    milliseconds = time.time_ns() // 1_000_000
    bits = _random.getrandbits(74)
    return (
        f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7{bits >> 62:03x}-"
        f"{0x8000 | (bits >> 48) & 0x3FFF:04x}-{bits & 0xFFFF_FFFF_FFFF:012x}"
    )
