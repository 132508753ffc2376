"""Who may do what in the store? The users of an ACL file, each with the commands that it sends and the keys that it sends them for.

The gateway reads features and cannot change one; it counts quotas and keeps answers. The job writes features and sees no quota and no
answer. Nobody else gets in, and nobody may list keys, empty the store or change the server. Written for servers from 7.0 on.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from feature_store.keys import ANSWERS, FEATURES, QUOTAS, TABLES

LEAST_SECRET: Final = 16

USERS: Final[Mapping[str, str]] = {"gateway": "the gateway", "job": "the job that materialises, and of its commands"}

_RULES: Final[Mapping[str, str]] = {
    "gateway": f"%R~{FEATURES}:* %R~{TABLES}:* ~{QUOTAS}:* ~{ANSWERS}:* +mget +get +set +eval +evalsha +time +select +ping",
    "job": f"~{FEATURES}:* ~{TABLES}:* +get +set +del +unlink +scan +watch +unwatch +multi +exec +discard +info +select +ping",
}


def acl_file(secrets: Mapping[str, str]) -> str:
    """The content of the server's `aclfile`, given each user's password, of which it holds the sha256 only."""
    lines = ["user default reset off"]
    for user, rules in _RULES.items():
        lines.append(f"user {user} reset on #{hashlib.sha256(secrets[user].encode()).hexdigest()} {rules}")
    return "\n".join(lines) + "\n"
