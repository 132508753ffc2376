"""What is written in the files that the fleet's processes are started with? Text from values, nothing else."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MAX_BATCH: Final = 128
GRPC_THREADS: Final = 2 * MAX_BATCH
"""TF Serving's gRPC server refuses more calls at once than it has threads, and calls that wait for a batch hold one each."""
LOG_BYTES: Final = "10MB"
LOG_BACKUPS: Final = 2


@dataclass(frozen=True, slots=True)
class Program:
    """One process of the fleet. `stays_up_s` is how long it must run before its start counts as one."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stays_up_s: int = 2
    stop_within_s: int = 10


def batching() -> str:
    """The model servers' batching parameters: never wait for a fuller batch, pad to a power of two."""
    sizes = [2**n for n in range(MAX_BATCH.bit_length())]
    lines = [
        f"max_batch_size {{ value: {MAX_BATCH} }}",
        "batch_timeout_micros { value: 0 }",
        "num_batch_threads { value: 2 }",
        *(f"allowed_batch_sizes: {size}" for size in sizes),
    ]
    return "\n".join(lines) + "\n"


def model_config(name: str, folder: str, version: int) -> str:
    """A model server's configuration that pins one version: a new one is new processes, never a reload in place."""
    return f"""model_config_list {{
  config {{
    name: "{name}"
    base_path: "{_in_quotes(folder)}"
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: {version} }} }}
  }}
}}
"""


def _in_quotes(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def supervisor(programs: Sequence[Program], *, socket: Path, folder: Path, logs: Path, log: Path) -> str:
    """supervisord's configuration. It starts nothing by itself, starts again, ever more slowly, what dies, and stops the last program first."""
    head = f"""[unix_http_server]
file={_value(socket)}
chmod=0700

[supervisord]
nodaemon=true
silent=true
logfile={_value(log)}
logfile_maxbytes={LOG_BYTES}
logfile_backups={LOG_BACKUPS}
pidfile={_value(folder / "supervisord.pid")}
directory={_value(folder)}
identifier=ballpark
nocleanup=true

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    return "\n".join([head, *(_program(p, logs, priority) for priority, p in enumerate(programs, 1))])


def _program(program: Program, logs: Path, priority: int) -> str:
    environment = ",".join(f"{name}={_quoted(value)}" for name, value in program.environment.items())
    return f"""[program:{program.name}]
command={_escaped(shlex.join(program.command))}
environment={environment}
priority={priority}
autostart=false
autorestart=true
startsecs={program.stays_up_s}
startretries=10
stopsignal=TERM
stopwaitsecs={program.stop_within_s}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={_value(logs / f"{program.name}.log")}
stdout_logfile_maxbytes={LOG_BYTES}
stdout_logfile_backups={LOG_BACKUPS}
"""


def _value(path: Path) -> str:
    return _escaped(str(path))


def _escaped(text: str) -> str:
    """supervisor expands %(names)s in values. Raises ValueError for a line break, which its format cannot hold."""
    if "\n" in text:
        raise ValueError(f"supervisor's configuration cannot hold a line break: {text!r}")
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """For a value of `environment`. Raises ValueError for a quotation mark, which cannot be escaped there."""
    if '"' in text:
        raise ValueError(f"supervisor's configuration cannot hold a quotation mark: {text!r}")
    return f'"{_escaped(text)}"'
