"""How does a service say what happened? As events with fields, one JSON line each, on standard error."""

import logging
import sys
from typing import cast

import structlog


def configure(service: str, level: str = "INFO") -> None:
    """Set up structlog for this process. `level` is one of DEBUG, INFO, WARNING, ERROR; raises ValueError otherwise."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level must be DEBUG, INFO, WARNING or ERROR, not {level!r}")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)


def get() -> structlog.typing.FilteringBoundLogger:
    """The logger: `get().warning("model_slow", model=name, waited_s=0.2)`."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger())
