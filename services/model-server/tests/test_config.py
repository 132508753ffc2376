"""Configuration files in text format, and which versions on disk they mean."""

from pathlib import Path

import pytest

from model_server import config, versions
from model_server.config import BatchingParameters, Every, Latest, ModelConfig, Policy, Specific
from model_server.flags import CPUS, Flags


def written(folder: Path, text: str) -> str:
    path = folder / "file.config"
    path.write_text(text)
    return str(path)


def test_a_model_config_file(tmp_path: Path) -> None:
    """Colons, commas and comments are as protobuf's text format has them."""
    text = """
    model_config_list: {
      config: { name: "a", base_path: "/models/a", model_platform: "tensorflow" },  # the first
      config { name: 'b' base_path: 's3://b' model_platform: 'tensorflow'
               model_version_policy { specific { versions: 4 versions: 2 } }
               version_labels { key: 'best' value: 4 } }
      config { name: 'c' base_path: '/c' model_platform: 'tensorflow' model_version_policy { latest { num_versions: 0 } } }
      config { name: 'd' base_path: '/d' model_platform: 'tensorflow' model_version_policy { all {} } }
    }"""

    assert (
        ModelConfig("a", "/models/a"),
        ModelConfig("b", "s3://b", Specific((4, 2)), (("best", 4),)),
        ModelConfig("c", "/c", Latest(1)),
        ModelConfig("d", "/d", Every()),
    ) == config.read_models(written(tmp_path, text))


def test_a_model_from_flags() -> None:
    """Without a file, name and base path are the one model."""
    assert (ModelConfig("m", "/m"),) == config.first_models(Flags(model_name="m", model_base_path="/m"))


def test_batching_parameters(tmp_path: Path) -> None:
    """Scalars are wrapped; what is left out has the scheduler's default."""
    text = "max_batch_size { value: 128 } allowed_batch_sizes: [32, 128] thread_pool_name { value: 'p' }"

    assert BatchingParameters(128, 0, 10, CPUS, (32, 128)) == config.batching(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true path: '/metrics' }", "/metrics"),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ("prometheus_config { path: '/metrics' }", None),
        ("", None),
    ],
)
def test_metrics_path(tmp_path: Path, text: str, path: str | None) -> None:
    """The page is off unless enabled, and has a path of its own or the usual one."""
    assert path == config.metrics_path(Flags(monitoring_config_file=written(tmp_path, text)))


def test_version_folders() -> None:
    """Whole numbers count, with leading zeros or a sign; of two names of one number the later in order wins."""
    names = ["1", "001", "00000123", "x", "1a", "", "-5", "9223372036854775808", "²"]

    assert {1: "1", 123: "00000123", -5: "-5"} == versions.numbered(names)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [(Latest(), (9,)), (Latest(2), (9, 3)), (Every(), (9, 3, 1)), (Specific((3, 7)), (3,)), (Specific(()), ())],
)
def test_wanted_versions(policy: Policy, expected: tuple[int, ...]) -> None:
    """A policy picks from what is there, highest first."""
    assert expected == versions.wanted(policy, [1, 9, 3])
