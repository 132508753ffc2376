"""The website's quote journey against a running fleet; the verdict is the exit code (0 good, 1 not good enough, 2 could not be run).

    loadtests/.venv/bin/locust -f loadtests/locustfile.py --headless -t 60s
    loadtests/.venv/bin/locust -f loadtests/locustfile.py --headless -t 60s --budget-ms 50 --rate 200 --users 200

BALLPARK_URL (default http://127.0.0.1:8080) and BALLPARK_KEY (default ballpark-dev) say whom to ask, BALLPARK_BUDGET_MS the budget, and
the rest is data in load.toml. Run it in one process: samples are judged where they were taken.
"""

import json
import os
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import Request, urlopen

import gevent
import report
from arrivals import Timetable
from locust import FastHttpUser, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from risks import Ask, Questions
from settings import FILE, BadSettings, Settings, check_host, timeout_header
from verdict import Run, Sample, judge

from kit import contract

CANNOT_RUN = 2
PROBE_S = 5.0


class Journey:
    """One run: what is asked, and every sample so far. Made when Locust starts, judged when it quits."""

    def __init__(self, settings: Settings, budget_ms: float, rate_per_s: float, users: int) -> None:
        self.settings, self.budget_ms = settings, budget_ms
        self.rate_per_s, self.interval_s = rate_per_s, users / rate_per_s
        self.questions = Questions(contract.load(), settings.mix, settings.risks)
        self.users_begun = 0
        self.samples: list[Sample] = []
        self.begun_s = self.begun_cpu_s = self.ended_s = self.generator_cpu = 0.0

    def begin(self) -> None:
        """Users start now."""
        self.begun_s, self.begun_cpu_s = time.monotonic(), time.process_time()

    def end(self) -> None:
        """Users stop now: what is still in flight counts, what was not yet due does not."""
        if self.ended_s:
            return
        self.ended_s = time.monotonic()
        self.generator_cpu = (time.process_time() - self.begun_cpu_s) / max(1e-9, self.ended_s - self.begun_s)

    def run(self) -> Run:
        """What was meant to happen, after the warm-up."""
        begin_s = min(self.begun_s + self.settings.arrivals.warm_up_s, self.ended_s)
        return Run(self.rate_per_s, begin_s, self.ended_s, self.generator_cpu)


class Customer(FastHttpUser):
    """A stream of visitors with a timetable of its own: an answer that is late does not put the next question off."""

    journey: ClassVar[Journey]
    headers: ClassVar[dict[str, str]]

    connection_timeout = 1.0
    network_timeout = 5.0  # a request that takes longer is an error, of that latency

    def on_start(self) -> None:
        """Begin somewhere in the first interval, so that users do not ask in step."""
        number, self.journey.users_begun = self.journey.users_begun, self.journey.users_begun + 1
        self._chance = random.Random(f"{self.journey.settings.risks.seed}:{number}")  # noqa: S311 -- repeatable, not secret
        first_s = time.monotonic() + self._chance.random() * self.journey.interval_s
        self._timetable = Timetable(first_s, self.journey.interval_s)
        self._was_idle = True
        gevent.sleep(self.wait_time())

    def wait_time(self) -> float:
        """Until the next intended send time, which the last answer has no say in."""
        wait_s = self._timetable.wait_s(now_s=time.monotonic())
        self._was_idle = wait_s > 0
        return wait_s

    @task
    def ask(self) -> None:
        """One question of the mix."""
        ask = self.journey.questions.ask(self._chance)
        headers = self.headers if ask.with_key else {k: v for k, v in self.headers.items() if k != "Authorization"}
        intended_s, sent_s = self._timetable.take(), time.monotonic()
        with self.client.request("POST", ask.path, ask.name, ask.body, catch_response=True, headers=headers) as answer:
            done_s = time.monotonic()
            error, degraded = judge_answer(ask, answer.status_code, answer.content)
            sample = Sample(ask.name, intended_s, sent_s, done_s, self._was_idle, error, degraded)
            self.journey.samples.append(sample)
            answer.request_meta["response_time"] = sample.latency_ms
            if error:
                answer.failure(error)
            else:
                answer.success()


def judge_answer(ask: Ask, status: int, content: bytes | None) -> tuple[str, frozenset[str]]:
    """What is wrong with an answer (empty: nothing), and the degradation that the question does not explain."""
    if status not in ask.expected:
        return (f"status {status}" if status else "no answer"), frozenset()
    if ask.name == "invalid":
        return "", frozenset()
    try:
        body: dict[str, Any] = json.loads(content or b"")
        if ask.name == "quotes" and not body["insurers"]:
            return "no insurers", frozenset()
        return "", frozenset(body["degraded"]) - ask.explains
    except (ValueError, KeyError, TypeError):
        return "not an answer of the contract", frozenset()


@events.init_command_line_parser.add_listener
def add_flags(parser: LocustArgumentParser) -> None:
    """Our flags, and Locust's own with defaults that suit: no table every two seconds, requests in flight may end."""
    ours = parser.add_argument_group("Ballpark")
    ours.add_argument("--settings", type=Path, default=FILE, metavar="<file>", help="mix, rate and limits (load.toml)")
    ours.add_argument("--rate", type=float, metavar="<n>", help="requests/s of all users together (load.toml)")
    ours.add_argument(
        "--budget-ms", type=float, metavar="<ms>", help="p99 that passes (load.toml)", env_var="BALLPARK_BUDGET_MS"
    )
    ours.add_argument("--key", default="ballpark-dev", metavar="<key>", help="API key", env_var="BALLPARK_KEY")
    parser.set_defaults(only_summary=True, stop_timeout="6")


@events.init.add_listener
def prepare(environment: Environment, **_: object) -> None:
    """Settle whom to ask and how, or say why not and leave."""
    try:
        options: Any = environment.parsed_options
        journey, url = settle(options)
        check_answers(url, options.key)
    except (BadSettings, OSError) as error:
        sys.stderr.write(f"load test: {error}\n")
        sys.exit(CANNOT_RUN)
    environment.host, Customer.journey = url, journey
    Customer.headers = {
        "Authorization": f"Bearer {options.key}",
        "Content-Type": "application/json",
        "X-Request-Timeout-Ms": timeout_header(journey.budget_ms),
    }
    environment.events.test_start.add_listener(lambda **_: journey.begin())
    environment.events.test_stopping.add_listener(lambda **_: journey.end())
    environment.events.quitting.add_listener(lambda **_: conclude(environment, journey))


def settle(options: Any) -> tuple[Journey, str]:
    """What is run against which address; fills in Locust's own options where they were left out. Raises BadSettings or OSError."""
    settings, env = Settings.read(options.settings), os.environ
    url = check_host(options.host or env.get("BALLPARK_URL", "http://127.0.0.1:8080"), env.get("BALLPARK_ALLOW_HOST"))
    options.num_users = settings.arrivals.users if options.num_users is None else options.num_users
    options.spawn_rate = options.spawn_rate or options.num_users
    rate_per_s = settings.arrivals.rate_per_s if options.rate is None else options.rate
    budget_ms = settings.limits.budget_ms if options.budget_ms is None else options.budget_ms
    if min(budget_ms, rate_per_s, options.num_users) <= 0:
        raise BadSettings("--budget-ms, --rate and --users must be above 0")
    return Journey(settings, budget_ms, rate_per_s, options.num_users), url


def check_answers(url: str, key: str) -> None:
    """Ask for the contract once. Raises OSError with what to do when nobody answers in order."""
    request = Request(f"{url}/v1/contract", headers={"Authorization": f"Bearer {key}"})  # noqa: S310 -- checked: http(s)
    try:
        with urlopen(request, timeout=PROBE_S):  # noqa: S310
            return
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise OSError(
            f"{url}/v1/contract: {reason}; start the fleet (make run), or set BALLPARK_URL and BALLPARK_KEY"
        ) from error


def conclude(environment: Environment, journey: Journey) -> None:
    """Judge, set the exit code, and print when Locust has printed its own tables."""
    journey.end()  # Ctrl-C comes here at once
    limits = replace(journey.settings.limits, budget_ms=journey.budget_ms)
    verdict = judge(journey.samples, journey.run(), limits)
    environment.process_exit_code = 0 if verdict.is_good else 1
    said = report.text(verdict, checksum=journey.settings.checksum)
    environment.events.quit.add_listener(lambda **_: print(said, flush=True))
