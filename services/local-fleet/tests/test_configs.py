"""The files that processes are started with."""

import configparser
import shlex
from pathlib import Path

import pytest

from local_fleet import configs
from local_fleet.configs import Program


def written(*programs: Program, folder: Path = Path("/home/a b/50%")) -> configparser.RawConfigParser:
    """supervisord's configuration, parsed."""
    text = configs.supervisor(
        programs, socket=folder / "s.sock", folder=folder, logs=folder / "logs", log=folder / "logs" / "supervisord.log"
    )
    parser = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
    parser.read_string(text)
    return parser


def test_batches_are_padded_to_powers_of_two() -> None:
    """The last allowed size is the largest batch, as TF Serving demands."""
    lines = configs.batching().splitlines()

    assert "max_batch_size { value: 128 }" in lines
    assert [1, 2, 4, 8, 16, 32, 64, 128] == [int(line.split(":")[1]) for line in lines if line.startswith("allowed")]


def test_a_model_server_is_pinned_to_one_version() -> None:
    """A newer version in the store is not picked up."""
    assert "specific { versions: 7 }" in configs.model_config("quote-classifier", "/store/quote-classifier", 7)


def test_a_path_with_a_quotation_mark_stays_one_string() -> None:
    """The text format's escapes are used."""
    assert r'base_path: "/a\"b\\c"' in configs.model_config("m", '/a"b\\c', 1)


def test_a_command_survives_supervisors_quoting() -> None:
    """Spaces and percent signs in paths reach the process as they are."""
    command = ("/home/a b/50%/python", "-m", "gateway", "--save", "")

    text = written(Program("gateway", command))["program:gateway"]["command"]

    assert list(command) == shlex.split(text.replace("%%", "%"))


def test_every_process_starts_again_and_keeps_a_bounded_log() -> None:
    """Restarts and log rotation are supervisord's."""
    section = written(Program("redis", ("valkey",)))["program:redis"]

    assert ("true", "false", "10MB", "2") == tuple(
        section[n] for n in ("autorestart", "autostart", "stdout_logfile_maxbytes", "stdout_logfile_backups")
    )


def test_what_is_started_first_is_stopped_last() -> None:
    """supervisord stops by falling priority."""
    parser = written(Program("redis", ("a",)), Program("gateway", ("b",)))

    assert int(parser["program:redis"]["priority"]) < int(parser["program:gateway"]["priority"])


def test_a_value_that_the_format_cannot_hold_is_refused() -> None:
    """A broken configuration is never written."""
    with pytest.raises(ValueError, match="quotation mark"):
        written(Program("gateway", ("a",), environment={"KEY": 'say "hi"'}))
