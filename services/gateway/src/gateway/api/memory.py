"""Does a quote that is asked for again have the same answer? While the same bundle prices it, yes, whichever gateway is asked.

The models give the same prices for the same row only to the last digit or so: a float32 sum comes out differently beside other rows, and
a rounded penny may flip; a car's values may be renewed in between, or half of an answer may have been missing. So a whole answer to a quote
that its caller has named is remembered for as long as the settings say, and given again to the same question under the same name. It is
looked up beside everything else that the store is asked, and is waited for only at the end: it costs a quote nothing that it would
notice. A quote without a name of its own is nobody's to ask for again.
"""

import hashlib
from asyncio import Future

import orjson

from gateway.domain.risk import QuoteRequest
from gateway.ports import Remembered


class Memory:
    """What was answered, for `seconds`; none at all when that is 0 or when there is no store for it."""

    def __init__(self, remembered: Remembered | None, seconds: int) -> None:
        self._remembered = remembered if seconds > 0 else None
        self._seconds = seconds

    def of(self, request: QuoteRequest, layout: str, *, timeout: float) -> "Remembrance | None":
        """Look for the answer to a quote, for `timeout` seconds at most; None for one that has no name."""
        if self._remembered is None or not request.is_named:
            return None
        return Remembrance(self._remembered, digest(request, layout), self._seconds, timeout)


class Remembrance:
    """One quote's answer, as it may have been given before."""

    def __init__(self, remembered: Remembered, question: str, seconds: int, timeout: float) -> None:
        self._remembered, self._question, self._seconds = remembered, question, seconds
        self._recalled: Future[bytes | None] = remembered.recall(question, timeout=timeout)

    async def before(self) -> bytes | None:
        """What was answered before; None when nothing was, or when nobody knows."""
        return await self._recalled

    def keep(self, body: bytes) -> None:
        """Remember an answer. Waits for nothing."""
        self._remembered.remember(self._question, body, seconds=self._seconds)


def digest(request: QuoteRequest, layout: str) -> str:
    """The same for the same question under the same name, however its JSON was written; nobody can read the question from it."""
    asked = [
        request.quote_id,
        dict(request.risk.values),
        dict(request.risk.entities),
        request.chosen,
        request.ipt_rate,
        layout,
    ]
    return hashlib.blake2b(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
