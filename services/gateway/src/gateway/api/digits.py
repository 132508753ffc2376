"""How are thousands of numbers written as text at once? By looking their digits up, four at a time, in tables of bytes.

Every number gets a field of fixed width and is padded with blanks in front, which JSON allows; so a whole batch of answers is one array
of bytes, made of one template and a few look-ups. Formatting them one by one takes ten times as long.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Text = NDArray[Any]  # of a void type: so many bytes each

NULL: Final = b"null"
PRICE_WIDTH: Final = 9  # 999999.99
SHARE_WIDTH: Final = 6  # 0.0000

STEPS: Final = 10_000  # of a share
PENCE: Final = 100  # of a price

_GROUP: Final = 10_000


def _table(texts: list[str]) -> Text:
    return np.frombuffer("".join(texts).encode(), f"V{len(texts[0])}")


# A price is its hundreds of pounds in four places, then "12.34"; blanks stand for leading zeros, and what follows hundreds has none.
_FRONT: Final = _table([f"{n:4d}" if n else "    " for n in range(_GROUP)])
_BACK: Final = _table(
    [f"{n // 100:2d}.{n % 100:02d}" for n in range(_GROUP)] + [f"{n // 100:02d}.{n % 100:02d}" for n in range(_GROUP)]
)
_SHARES: Final = _table([f"{n / STEPS:.4f}" for n in range(STEPS + 1)])
_NO_PRICE: Final = np.frombuffer(NULL.rjust(PRICE_WIDTH), f"V{PRICE_WIDTH}")[0]
_NO_SHARE: Final = np.frombuffer(NULL.rjust(SHARE_WIDTH), f"V{SHARE_WIDTH}")[0]


def column(of: NDArray[np.uint8], at: int, width: int) -> Text:
    """The bytes `at` to `at + width` of every record of uint8[B, K, W], as one [B, K] array that writes through."""
    rows, records, size = of.shape
    return np.ndarray((rows, records), f"V{width}", of.data, at, (records * size, size))


def write_prices(of: NDArray[np.uint8], at: int, pence: NDArray[np.int64]) -> None:
    """Prices [B, K] from 0 to 99,999,999 pence into their field of every record."""
    front, back = np.divmod(pence, _GROUP)
    column(of, at, 4)[...] = _FRONT.take(front)
    back += np.where(front > 0, _GROUP, 0)
    column(of, at + 4, 5)[...] = _BACK.take(back)


def write_no_prices(of: NDArray[np.uint8], at: int) -> None:
    """null into a price's field of every record."""
    column(of, at, PRICE_WIDTH)[...] = _NO_PRICE


def write_shares(of: NDArray[np.uint8], at: int, steps: NDArray[np.int64]) -> None:
    """Shares [B, K] in ten-thousandths, 0 to 10,000, into their field of every record."""
    column(of, at, SHARE_WIDTH)[...] = _SHARES.take(steps)


def write_no_shares(of: NDArray[np.uint8], at: int) -> None:
    """null into a share's field of every record."""
    column(of, at, SHARE_WIDTH)[...] = _NO_SHARE
