"""Whose request is this, and may they make it?"""

import hmac
import math
from collections.abc import Iterable
from typing import Final

from gateway.api.problems import Code, Refusal
from gateway.domain.keys import Bucket, Key, Scope

CHALLENGE: Final = ((b"www-authenticate", b"Bearer"),)
BEARER: Final = b"bearer "


def hash_key(text: bytes, secret: bytes) -> bytes:
    """HMAC-SHA256 of a key: 32 bytes that are of no use without the secret."""
    return hmac.digest(secret, text, "sha256")


class Access:
    """The keys that are known, and what is left of their quotas in this process."""

    def __init__(self, keys: Iterable[Key], secret: bytes) -> None:
        # Looked up by hash: how long that takes depends on the hash, which nobody can choose without the secret.
        self._keys = {key.hash: key for key in keys}
        self._secret = secret
        self._buckets: dict[str, Bucket] = {}

    def identify(self, authorization: bytes | None) -> Key:
        """The key of an `Authorization` header. Raises `Refusal` with 401."""
        if authorization is None or authorization[: len(BEARER)].lower() != BEARER:
            raise Refusal(Code.NO_KEY, "Send `Authorization: Bearer KEY`.", headers=CHALLENGE)
        text = authorization[len(BEARER) :].strip()
        hashed = hash_key(text, self._secret)
        key = self._keys.get(hashed)
        if not text or key is None or not hmac.compare_digest(key.hash, hashed):
            raise Refusal(Code.NO_KEY, "This key is not known.", headers=CHALLENGE)
        return key

    def admit(self, key: Key, scope: Scope | None, *, now: float) -> None:
        """Let a call pass. Raises `Refusal` with 403 (scope) or 429 (quota); `now` is any clock that never goes back."""
        if scope is not None and scope not in key.scopes:
            raise Refusal(Code.NO_SCOPE, f"This key lacks the scope `{scope}`.")
        if key.quota is None:
            return
        bucket = self._buckets.get(key.id) or Bucket.full(key.quota, now=now)
        after = bucket.take(now=now)
        if after is None:
            raise Refusal(
                Code.QUOTA, "Ask again later.", headers=_quota_headers(key.quota.per_minute, bucket.wait(now=now))
            )
        self._buckets[key.id] = after


def _quota_headers(per_minute: int, wait_s: float) -> tuple[tuple[bytes, bytes], ...]:
    wait = b"%d" % max(1, math.ceil(wait_s))
    return (
        (b"retry-after", wait),
        (b"ratelimit-limit", b"%d" % per_minute),
        (b"ratelimit-remaining", b"0"),
        (b"ratelimit-reset", wait),
    )
