"""Whose request is this, and may they make it?"""

import hmac
import math
from collections.abc import Iterable
from typing import Final

from gateway.api.problems import Code, Refusal
from gateway.api.quotas import Quotas
from gateway.domain.keys import Bucket, Key, Scope

CHALLENGE: Final = ((b"www-authenticate", b"Bearer"),)
BEARER: Final = b"bearer "

VERIFIED_FOR_S: Final = 60.0
MOST_VERIFIED: Final = 1024
LONGEST_VERIFIED: Final = 256  # bytes of a header that is kept


def hash_key(text: bytes, secret: bytes) -> bytes:
    """HMAC-SHA256 of a key: 32 bytes that are of no use without the secret."""
    return hmac.digest(secret, text, "sha256")


class Access:
    """The keys that are known, and what is left of their quotas."""

    def __init__(self, keys: Iterable[Key], secret: bytes, *, own: Iterable[Key] = ()) -> None:
        """`own` are keys that stay whatever the others are replaced with."""
        self._secret, self._own = secret, tuple(own)
        self._quotas: Quotas | None = None
        self._buckets: dict[str, Bucket] = {}
        self._verified: dict[bytes, Key] = {}
        self._verified_until = -math.inf
        self.replace(keys)

    def replace(self, keys: Iterable[Key]) -> None:
        """These keys count from now on, and no other; what is left of a quota stays."""
        # Looked up by hash: how long that takes depends on the hash, which nobody can choose without the secret.
        self._keys = {hashed: key for key in (*keys, *self._own) for hashed in key.hashes}
        self._verified.clear()

    def share(self, quotas: Quotas) -> None:
        """Quotas are shared with other gateways, from now on."""
        self._quotas = quotas

    def identify(self, authorization: bytes | None, *, now: float) -> Key:
        """The key of an `Authorization` header. Raises `Refusal` with 401."""
        key = self.known(authorization, now=now)
        if key is None:
            said = authorization is not None and authorization[: len(BEARER)].lower() == BEARER
            detail = "This key is not known." if said else "Send `Authorization: Bearer KEY`."
            raise Refusal(Code.NO_KEY, detail, headers=CHALLENGE)
        return key

    def known(self, authorization: bytes | None, *, now: float) -> Key | None:
        """The key of an `Authorization` header, or None for a stranger's.

        A header that was verified is remembered for a minute at most. What that look-up tells by its duration is whether the keyed
        hash that Python takes of the *whole* header meets one that is remembered: only then are bytes compared. So a guess learns
        nothing from being right in part, and one that fails pays for the HMAC as it always did; it is never remembered.
        """
        if authorization is None:
            return None
        if now >= self._verified_until or len(self._verified) >= MOST_VERIFIED:
            self._verified.clear()
            self._verified_until = now + VERIFIED_FOR_S
        return self._verified.get(authorization) or self._verify(authorization)

    def _verify(self, authorization: bytes) -> Key | None:
        text = authorization[len(BEARER) :].strip()
        if not text or authorization[: len(BEARER)].lower() != BEARER:
            return None
        hashed = hash_key(text, self._secret)
        key = self._keys.get(hashed)
        if key is None or not any(hmac.compare_digest(own, hashed) for own in key.hashes):
            return None
        if len(authorization) <= LONGEST_VERIFIED:
            self._verified[authorization] = key
        return key

    def admit(self, key: Key, scope: Scope | None, *, now: float) -> None:
        """Let a call pass. Raises `Refusal` with 403 (scope) or 429 (quota); `now` is any clock that never goes back."""
        if scope is not None and scope not in key.scopes:
            raise Refusal(Code.NO_SCOPE, f"This key lacks the scope `{scope}`.")
        if key.quota is None:
            return
        bucket = self._buckets.get(key.id)
        if bucket is None or bucket.quota != key.quota:
            bucket = Bucket.full(key.quota, now=now)
        after = bucket.take(now=now)
        if after is None:
            raise _spent(key.quota.per_minute, bucket.wait(now=now))
        if self._quotas is not None and (wait_s := self._quotas.wait(key.id, key.quota, now=now)) is not None:
            raise _spent(key.quota.per_minute, wait_s)
        self._buckets[key.id] = after


def _spent(per_minute: int, wait_s: float) -> Refusal:
    wait = b"%d" % max(1, math.ceil(wait_s))
    headers = (
        (b"retry-after", wait),
        (b"ratelimit-limit", b"%d" % per_minute),
        (b"ratelimit-remaining", b"0"),
        (b"ratelimit-reset", wait),
    )
    return Refusal(Code.QUOTA, "Ask again later.", headers=headers)
