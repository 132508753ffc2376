"""What a scrape says of the servers behind each branch."""

from prometheus_client import CollectorRegistry, generate_latest

from gateway.api.branches import BranchSeries
from gateway.domain.outliers import Why
from gateway.domain.readings import Readings, Second, Standing
from gateway.domain.reasons import Branch
from kit import series
from kit.breaker import State

READINGS = Readings(
    replicas={Standing.SERVING: 2, Standing.ASIDE: 1, Standing.UNCONNECTED: 0},
    set_aside={Why.FAILING: 4, Why.SLOW: 0},
    second_attempts={Second.ANSWERED: 7, Second.FAILED: 1, Second.LATE: 0},
    breaker=State.PROBING,
)


def test_every_reading_is_a_series() -> None:
    """By branch and track, under the names of the table, with zeros for what has not happened."""
    registry = CollectorRegistry()
    registry.register(BranchSeries({Branch.CLASSIFIER: lambda: READINGS}))
    page = generate_latest(registry).decode().splitlines()

    labels = 'branch="classifier"'
    assert {
        f'ballpark_replicas{{{labels},standing="serving",track="stable"}} 2.0',
        f'ballpark_replicas{{{labels},standing="aside",track="stable"}} 1.0',
        f'ballpark_replicas{{{labels},standing="unconnected",track="stable"}} 0.0',
        f'ballpark_replicas_set_aside_total{{{labels},track="stable",why="failing"}} 4.0',
        f'ballpark_replicas_set_aside_total{{{labels},track="stable",why="slow"}} 0.0',
        f'ballpark_second_attempts_total{{{labels},outcome="answered",track="stable"}} 7.0',
        f'ballpark_second_attempts_total{{{labels},outcome="failed",track="stable"}} 1.0',
        f'ballpark_second_attempts_total{{{labels},outcome="late",track="stable"}} 0.0',
        f'ballpark_breaker_open{{{labels},track="stable"}} 1.0',
    } == {line for line in page if not line.startswith("#")}
    assert all(line.split()[2] in series.load() for line in page if line.startswith("# HELP"))


def test_what_is_shut_down_is_no_longer_read() -> None:
    """The registry lives longer than the branches."""
    registry = CollectorRegistry()
    collector = BranchSeries({Branch.REGRESSOR: lambda: READINGS})
    registry.register(collector)
    registry.unregister(collector)

    assert b"" == generate_latest(registry)
