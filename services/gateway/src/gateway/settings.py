"""What can be set from outside? Typed, frozen, read once in `__main__`; a name that nobody knows stops the start."""

import ipaddress
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX: Final = "GATEWAY_"
DEV_KEY: Final = "ballpark-dev"

Port = Annotated[int, Field(ge=0, le=65535)]
Needed = Annotated[str, Field(min_length=1)]


class BadSettings(Exception):
    """The environment cannot be used; the message names the variable."""


class Settings(BaseSettings):
    """Environment variables GATEWAY_<NAME>. A port of 0 takes a free one."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    store: Needed = Field(description="The artefact store: a directory or any fsspec URL.")
    release: Needed = Field(description="Path or URL of release.json, which names the bundle in force.")
    classifier_target: Needed = Field(
        description="gRPC target of the quote classifier: `host:port`, `dns:///name:port` or `ipv4:address:port,address:port`."
    )
    regressor_target: Needed = Field(description="gRPC target of the premium regressor.")
    redis_url: Needed = Field(description="The feature store: redis://, rediss:// or unix://.")

    host: str = "127.0.0.1"
    port: Port = 8080
    admin_host: str = "127.0.0.1"
    admin_port: Port = 9090
    keys_file: Path | None = Field(None, description="JSON file of hashed keys; needed unless the host is loopback.")
    keys_secret_file: Path | None = Field(None, description="The secret with which keys are hashed.")
    dev_key: SecretStr | None = Field(
        None,
        validation_alias="BALLPARK_DEV_KEY",
        description=f"A key with all scopes, on loopback only; {DEV_KEY} when unset, none when empty.",
    )
    budget_ms: Annotated[int, Field(ge=5, le=2000)] = Field(150, description="The budget of a request that names none.")
    max_in_flight: PositiveInt = Field(
        192, description="At most so many requests at once; further ones get a 503. Under overload it adapts to fewer."
    )
    drain_s: Annotated[float, Field(ge=0, le=60)] = Field(
        1.0, description="How long after SIGTERM requests are still accepted, so that balancers notice first."
    )
    answers_s: Annotated[int, Field(ge=0, le=86_400)] = Field(
        3600, description="Seconds for which a quote that its caller has named has the same answer; 0 for none."
    )
    docs: bool = Field(True, description="Whether /openapi.json and /docs are served.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the public port."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def accepted_dev_key(self) -> str | None:
        """The development key, or None where it is not accepted. Raises `BadSettings` where it must not even be set."""
        given = None if self.dev_key is None else self.dev_key.get_secret_value().strip()
        if self.on_loopback:
            return DEV_KEY if given is None else given or None
        if given:
            raise BadSettings(
                f"BALLPARK_DEV_KEY is for loopback only, and GATEWAY_HOST is {self.host}: unset one of them"
            )
        if self.keys_file is None:
            raise BadSettings(f"GATEWAY_KEYS_FILE is needed, because GATEWAY_HOST is {self.host} and not loopback")
        return None


def refuse_strangers(environment: Iterable[str]) -> None:
    """Raises `BadSettings` for a GATEWAY_* variable that no setting has: pydantic would ignore the typo in silence."""
    known = {PREFIX + name.upper() for name, field in Settings.model_fields.items() if field.validation_alias is None}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            near = get_close_matches(name, sorted(known), 1)
            raise BadSettings(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
