"""The feature store is gone, stopped, slow, cut off, full or locked: quotes come from defaults and say so, and it is used again at once."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from chaos.conftest import Fleet, Starter, watched_over
from chaos.course import Course, none
from chaos.load import quote
from chaos.proxy import Proxy

pytestmark = pytest.mark.usefixtures("unharmed")

BACK_WITHIN_S = 5.0
NOTICED_WITHIN_S = 0.3
MOST_LINES = 12
"""Of a fault in the log, from its beginning to its end, whatever the load."""

DAY_S = 24 * 3600
UNKNOWN_CARS = count(90_000)


@pytest.fixture(scope="module")
def key(starter: Starter) -> tuple[dict[str, str], str]:
    """Settings with a key that has a quota, which is kept in the same store: whoever has one must not be refused for the store's sake."""
    settings, texts = starter.keys(site=["--per-minute", "60000", "--burst", "5000"])
    return settings, texts["site"]


@pytest.fixture(scope="module")
def fleet(starter: Starter, key: tuple[dict[str, str], str]) -> Fleet:
    """The store itself is hurt."""
    return starter.fleet(settings=key[0])


@pytest.fixture(scope="module")
def proxy(fleet: Fleet) -> Iterator[Proxy]:
    """The way to the store."""
    made = Proxy(fleet.background, fleet.store.port)
    yield made
    made.close()


@pytest.fixture(scope="module")
def far_fleet(starter: Starter, fleet: Fleet, proxy: Proxy, key: tuple[dict[str, str], str]) -> Fleet:
    """Another gateway of the same fleet, which reaches the store through the proxy."""
    settings = {**fleet.gateway.settings, **key[0], "GATEWAY_REDIS_URL": f"redis://127.0.0.1:{proxy.port}"}
    gateway = starter.gateway("far", **settings)
    return Fleet(gateway, fleet.store, fleet.classifiers, fleet.regressors, fleet.background)


@pytest.fixture
def far(far_fleet: Fleet) -> Iterator[Fleet]:
    """It gets over everything, too."""
    with watched_over(far_fleet):
        yield far_fleet


def check_defaults(found: Course) -> None:
    """Every answer is complete, and says that it is made of defaults; nobody is refused, and the log tells it in few lines."""
    found.check(reasons={"features_unavailable"})
    none(found.load.answers, lambda one: one.status == 429)
    found.nearly_all(found.during(after_s=NOTICED_WITHIN_S), lambda one: one.reasons == {"features_unavailable"})
    found.nearly_all(found.load.answers, lambda one: one.is_complete)


@pytest.fixture
def few_lines(fleet: Fleet) -> Iterator[None]:
    """A fault is told when it begins and when it ends, not with every request."""
    before = len(fleet.gateway.logged())
    yield
    after = fleet.gateway.logged()
    assert len(after) - before <= MOST_LINES, after[before:]


def drill(
    fleet: Fleet, key: tuple[dict[str, str], str], harm: Callable[[], object], mend: Callable[[], object]
) -> Course:
    """Under the load of the key with the quota."""
    return fleet.drill(harm, mend, back_within_s=BACK_WITHIN_S, key=key[1])


@pytest.mark.usefixtures("few_lines")
def test_killed(fleet: Fleet, key: tuple[dict[str, str], str]) -> None:
    """Connections are refused: defaults at once, and values within five seconds of its start."""
    check_defaults(drill(fleet, key, fleet.store.kill, fleet.store.start))


@pytest.mark.usefixtures("few_lines")
def test_stopped(fleet: Fleet, key: tuple[dict[str, str], str]) -> None:
    """Connections stay open and nothing comes: nobody waits for it longer than the features' part of the budget."""
    check_defaults(drill(fleet, key, fleet.store.stop, fleet.store.go_on))


@pytest.mark.usefixtures("few_lines")
def test_wrong_password(fleet: Fleet, key: tuple[dict[str, str], str]) -> None:
    """It answers everybody that they are nobody, and then it does not any more."""

    def lock() -> None:
        fleet.store.command("CONFIG", "SET", "requirepass", "changed")
        with fleet.store.client() as redis:
            redis.execute_command("AUTH", "changed")
            redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def unlock() -> None:
        with fleet.store.client() as redis:
            redis.execute_command("AUTH", "changed")
            redis.execute_command("CONFIG", "SET", "requirepass", "")

    check_defaults(drill(fleet, key, lock, unlock))


@pytest.mark.usefixtures("few_lines")
def test_full(fleet: Fleet, key: tuple[dict[str, str], str]) -> None:
    """It refuses to be written to: what is in it is still used, and a quota that cannot be counted there refuses nobody."""

    def limit(memory: str) -> Callable[[], object]:
        return lambda: fleet.store.command("CONFIG", "SET", "maxmemory", memory)

    found = drill(fleet, key, limit("1mb"), limit("0"))

    found.check(reasons={"features_unavailable"})
    none(found.load.answers, lambda one: one.status == 429)
    found.nearly_all(found.load.answers, lambda one: one.is_complete)


def test_a_network_that_takes_20_ms_more(far: Fleet, key: tuple[dict[str, str], str], proxy: Proxy) -> None:
    """As long as the features' part of the budget: values or defaults, and no connection is thrown away for being late."""
    before = proxy.connections

    found = drill(far, key, lambda: proxy.be(delay_s=0.02), proxy.be)

    found.check(reasons={"features_unavailable"})
    found.nearly_all(found.load.answers, lambda one: one.is_complete)
    assert before == proxy.connections


def test_a_network_that_takes_400_ms_more(far: Fleet, key: tuple[dict[str, str], str], proxy: Proxy) -> None:
    """Far too long: defaults; the connections stay as they are."""
    before = proxy.connections

    found = drill(far, key, lambda: proxy.be(delay_s=0.4), proxy.be)

    check_defaults(found)
    assert before == proxy.connections


def test_connections_that_are_reset(far: Fleet, key: tuple[dict[str, str], str], proxy: Proxy) -> None:
    """Each is reset as soon as something is said on it: defaults, and few of them are tried."""
    before = proxy.connections

    found = drill(far, key, lambda: proxy.be(resets=True), proxy.be)

    check_defaults(found)
    assert proxy.connections - before <= 12


def test_a_car_that_nobody_knows(fleet: Fleet) -> None:
    """200 and complete from defaults, and the answer says why."""
    with fleet.course() as found, found.hurt(lambda: None, lambda: None):
        found.load.make = lambda age: quote(age, next(UNKNOWN_CARS))
        found.goes_on(0.5)

    found.check(reasons={"features_unknown_entity"})
    found.nearly_all(
        found.during(after_s=0.1), lambda one: one.reasons == {"features_unknown_entity"} and one.is_complete
    )


@pytest.mark.parametrize(
    ("age_s", "reasons"),
    [(40 * DAY_S, {"features_stale"}), (100 * DAY_S, {"features_stale", "features_missing"})],
    ids=["past the soft limit", "past the hard limit"],
)
def test_tables_that_are_too_old(fleet: Fleet, tables: Path, age_s: float, reasons: set[str]) -> None:
    """They are used and flagged, or not used; a fresh table is used as soon as it is in force."""
    found = fleet.drill(
        lambda: fleet.store.fill(tables, age_s=age_s),
        lambda: fleet.store.fill(tables),
        lasts_s=2.5,
        back_within_s=BACK_WITHIN_S,
    )

    found.check(reasons=reasons)
    found.nearly_all(found.during(after_s=1.2), lambda one: one.reasons == reasons and one.is_complete)
