"""Calls without a Python client: h2load, in C, takes a few microseconds a call of the two cores that server and callers share.

h2load knows HTTP/2 and not gRPC: it sends a frame that was made before, and a gRPC error would count as an answer for it. So the
bytes that came are counted: all answers have the size of one that was decoded and found right.
"""

import re
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

H2LOAD: Final = Path(__file__).parents[3] / "scripts" / "h2load"
_DONE: Final = re.compile(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout")
_BYTES: Final = re.compile(r"\((\d+)\) data")


@dataclass(frozen=True, slots=True)
class Calls:
    """What one stretch of calls gave; `took_us` ascends."""

    seconds: float
    took_us: list[int]

    def quantile(self, share: float) -> int:
        """In microseconds."""
        return self.took_us[min(int(share * len(self.took_us)), len(self.took_us) - 1)]

    @property
    def per_s(self) -> float:
        """Calls a second."""
        return len(self.took_us) / self.seconds


def install() -> None:
    """h2load, now. Exits where it can neither be found nor had."""
    found = subprocess.run([str(H2LOAD), "--version"], check=False, capture_output=True, text=True)
    if found.returncode:
        raise SystemExit(found.stderr.strip())


def calls(target: str, message: bytes, callers: int, seconds: float, *, answer_bytes: int) -> Calls:
    """So many callers on one connection, one call after another each. Exits if one answer was not right."""
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder) / "body", Path(folder) / "log"
        body.write_bytes(b"\0" + struct.pack(">I", len(message)) + message)
        command = [
            str(H2LOAD), "--clients=1", f"--max-concurrent-streams={callers}", f"--duration={seconds * 1000:.0f}ms", f"--data={body}",
            "--header=te: trailers", "--header=content-type: application/grpc", f"--log-file={log}", target,
        ]  # fmt: skip
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        took = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    done, received = _DONE.search(said), _BYTES.search(said)
    if done is None or received is None or not took:
        raise SystemExit(f"h2load did not say what it did:\n{said}")
    ended, right, *wrong = (int(number) for number in done.groups())
    frame = 5 + answer_bytes
    # Of the calls that the end of the stretch cut off a part may have come.
    if ended != right or any(wrong) or not right * frame <= int(received[1]) < (right + callers) * frame:
        raise SystemExit(f"{right} answers of {frame} bytes are not what came:\n{said}")
    return Calls(seconds, took)
