"""Which scenes are there? Each starts what it needs, measures in turns, and says yes or NO."""

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Final

from bench import measure, verdicts
from bench.agreement import differences
from bench.closed_loop import Questions
from bench.figures import percentile, slope
from bench.measure import Turn
from bench.open_loop import Generator, Plan, Run, poisson
from bench.processes import Held
from bench.search import Search
from bench.systems import (
    BASELINE,
    MODELS,
    ROOT,
    CannotRun,
    Home,
    System,
    further_gateway,
    further_model_server,
    raw,
    request_headers,
    running_baseline,
    running_fleet,
)
from bench.verdicts import Verdict

INSURERS: Final = 120
QUESTIONS: Final = 256
BASELINES: Final = ("2w", "1w-batch")
SIGNATURE: Final = "-signature"
AGREE_ON: Final = 16
REPLICAS: Final = 4
EACH: Final = 16  # connections to each gateway, of one as of four
MOST_SCALING: Final = 1.1
FEW, MANY, MOST_GROWTH = 30, 160, 2.0
SEGMENT_S: Final = 10.0
MOST_RISE: Final = 0.02  # of the memory, in ten minutes
MOST_MORE: Final = 4  # descriptors or threads at the end beyond those at the begin
OVERLOAD: Final = 3.0
SHARES: Final[Mapping[str, float]] = {"interactive": 0.2, "batch": 0.4, "loadtest": 0.4}
GUESS: Final = 0.7  # of a closed loop's throughput: where the knee usually is
LEAST_KNEE: Final = 0.5
CALM: Final = 0.5  # of the knee, before and after the overload
CALM_S: Final = 5.0
NORMAL_WITHIN_S: Final = 10.0
NORMAL_MS: Final = 25.0
BUDGET_MS: Final = 150

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What a person asked for."""

    rounds: int
    seconds: float
    only: Sequence[str]
    minutes: float
    overload_s: float


@dataclass
class Scene:
    """What a scene found: its figures by system and round, its verdicts, and what a reader must know beside them."""

    name: str
    verdicts: list[Verdict] = field(default_factory=list)
    rounds: dict[str, list[Turn]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """The questions of one market: as texts, and as the files that wrk's script reads."""

    bodies: Sequence[str]
    folder: Path

    def files(self, system: System) -> Questions:
        """For one system."""
        bodies, headers = self.folder / "questions.jsonl", self.folder / f"headers-{system.name}"
        bodies.write_text("".join(f"{body}\n" for body in self.bodies))
        headers.write_text("".join(f"{name}: {value}\n" for name, value in system.headers.items()))
        return Questions(bodies, headers)


def questions(home: Home) -> Asked:
    """Enquiries of the home's market. Raises `CannotRun`."""
    command = [BASELINE[0], "-m", "baseline.sample", "--market", str(home.market), "--count", str(QUESTIONS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    bodies = done.stdout.splitlines()
    if done.returncode or len(set(bodies)) != QUESTIONS:
        raise CannotRun(f"no questions: {done.stderr.strip()[-500:]}")
    folder = home.path / "questions"
    folder.mkdir(exist_ok=True)
    return Asked(bodies, folder)


def compare(wanted: Wanted, say: Say) -> Scene:
    """The fleet beside the baselines: all of them run, and are measured one after another, in so many rounds."""
    scene, home = Scene("compare"), Home.of(INSURERS)
    with ExitStack() as stack:
        fleet = stack.enter_context(running_fleet(home, say))
        asked, systems = questions(home), [fleet.system()]
        for name in (*BASELINES, *(n + SIGNATURE for n in BASELINES)):
            if name in wanted.only or (not wanted.only and SIGNATURE not in name):
                kind = name.removesuffix(SIGNATURE)
                say(f"starting {name}")
                systems.append(stack.enter_context(running_baseline(kind, fleet, signature=kind != name)))
        agree(systems, asked.bodies[:AGREE_ON])
        say(f"all {len(systems)} systems give the same answers to {AGREE_ON} questions")
        systems = [s for s in systems if not wanted.only or s.name in wanted.only]
        for number in range(wanted.rounds):
            for system in systems[number % len(systems) :] + systems[: number % len(systems)]:
                turn = measure.turn(system, asked.bodies, asked.files(system), wanted.seconds)
                scene.rounds.setdefault(system.name, []).append(turn)
                scene.notes += turn.notes
                say(f"round {number + 1}, {told(system.name, turn)}")
    scene.rounds = {s.name: scene.rounds[s.name] for s in systems}
    scene.verdicts = verdicts.compare(scene.rounds)
    return scene


def agree(systems: Sequence[System], bodies: Sequence[str]) -> None:
    """Raises `CannotRun` when a baseline answers something else than the fleet."""
    ours = [systems[0].ask(body) for body in bodies]
    for system in systems[1:]:
        for body, answer in zip(bodies, ours, strict=True):
            if found := differences(answer, system.ask(body)):
                raise CannotRun(f"{systems[0].name} and {system.name} differ: {'; '.join(found[:3])}")


def told(name: str, turn: Turn) -> str:
    """A turn in one line."""
    closed = ", ".join(f"{one.per_s:.0f}/s at {connections}" for connections, one in turn.closed.items())
    rates = ", ".join(f"{rate:.0f}/s at p99 <= {limit:g} ms" for limit, rate in turn.rate_per_s.items())
    alone = f"alone p50 {turn.closed[1].p50_ms:.2f} ms"
    return f"{name}: {closed}; {alone}; {rates}; {turn.cpu_ms:.2f} ms of CPU; {turn.pss_mb:.0f} MB"


def scaling(wanted: Wanted, say: Say) -> Scene:
    """The CPU of an answer with four gateways over four servers of each model, beside one of each, at 16 connections a gateway."""
    scene, home = Scene("scaling"), Home.of(INSURERS)
    with ExitStack() as stack:
        fleet = stack.enter_context(running_fleet(home, say))
        asked, own = questions(home), fleet.roles()
        targets = {}
        for model, setting in zip(MODELS, ("GATEWAY_CLASSIFIER_TARGET", "GATEWAY_REGRESSOR_TARGET"), strict=True):
            say(f"starting {REPLICAS - 1} more servers of {model}")
            first = fleet.target(setting)
            more = [stack.enter_context(further_model_server(fleet, model)) for _ in range(REPLICAS - 1)]
            targets[setting] = "ipv4:" + ",".join([first, *(f"127.0.0.1:{port}" for port in more)])
        gateways = [stack.enter_context(further_gateway(fleet, targets)) for _ in range(REPLICAS)]
        few = replace(fleet.system("1 x 1"), pids=lambda: list(own))
        gateway = fleet.pid("gateway")
        many = replace(
            fleet.system(f"{REPLICAS} x {REPLICAS}", gateways), pids=lambda: [p for p in fleet.pids() if p != gateway]
        )
        ratio = _cpu_ratio(scene, [(few, asked), (many, asked)], wanted, say, connections=EACH)
    name = f"CPU of an answer, {REPLICAS} gateways x {REPLICAS} servers a model / 1 x 1"
    scene.verdicts.append(Verdict(name, ratio, at_most=MOST_SCALING))
    return scene


def insurers(wanted: Wanted, say: Say) -> Scene:
    """The CPU of an answer of 160 insurers beside one of 30."""
    scene = Scene("insurers")
    with ExitStack() as stack:
        pairs = []
        for count in (FEW, MANY):
            fleet = stack.enter_context(running_fleet(Home.of(count), say))
            pairs.append((fleet.system(f"{count} insurers"), questions(fleet.home)))
        ratio = _cpu_ratio(scene, pairs, wanted, say, connections=64)
    scene.verdicts.append(Verdict(f"CPU of an answer, {MANY} insurers / {FEW}", ratio, at_most=MOST_GROWTH))
    return scene


def _cpu_ratio(
    scene: Scene, pairs: Sequence[tuple[System, Asked]], wanted: Wanted, say: Say, *, connections: int
) -> float:
    """The median over rounds of the second system's CPU an answer, divided by the first one's."""
    costs: dict[str, list[float]] = {system.name: [] for system, _ in pairs}
    errors = answers = 0
    for _ in range(wanted.rounds):
        for system, asked in pairs:
            files, others = asked.files(system), measure.Others(system)
            measure.closed_turn(system, files, 16, measure.WARM_UP_S)
            found, cpu_ms = measure.closed_turn(system, files, connections, wanted.seconds)
            scene.notes += others.notes()
            costs[system.name].append(cpu_ms)
            errors += sum(one.errors for one in found)
            answers += sum(one.answers for one in found)
            scene.notes += [f"{system.name}: {one.shown}" for one in found if one.shown][:1]
            say(f"{system.name}: {sum(one.per_s for one in found):.0f}/s, {cpu_ms:.3f} ms of CPU an answer")
    scene.verdicts.append(Verdict("share of errors", errors / max(1, answers), at_most=measure.MOST_BAD))
    first, second = costs.values()
    return median(b / a for a, b in zip(first, second, strict=True))


@contextmanager
def generator_of(system: System, bodies: Sequence[str], connections: int = 128) -> Iterator[Generator]:
    """Kept connections to a system's first port, closed afterwards."""
    made = Generator(system.ports[0], [raw(system.ports[0], body, system.headers) for body in bodies], connections)
    try:
        yield made
    finally:
        made.close()


@dataclass(frozen=True, slots=True)
class Knee:
    """The highest rate that keeps to a p99 of 25 ms, and the most whole answers a second that were seen on the way.

    On a machine that others use too hardly any rate keeps to it, so that the rate is half of a closed loop's throughput at least.
    """

    rate_per_s: float
    peak_per_s: float


def knee(scene: Scene, generator: Generator, closed_per_s: float, wanted: Wanted) -> Knee:
    """Search it from what a closed loop came to."""
    first = GUESS * closed_per_s
    search, peak = Search(first=first, most=2.0 * closed_per_s, most_probes=measure.PROBES), 0.0
    while (rate := search.next()) is not None:
        run = measure.probe(generator, QUESTIONS, rate, wanted.seconds, seed=search.probes)
        search.tell(rate, passed=measure.passes(run, NORMAL_MS))
        peak = max(peak, run.good_per_s)
    least = LEAST_KNEE * closed_per_s
    if search.best < least:
        scene.notes.append(
            f"the knee is at {search.best:.0f}/s, which is no figure of a quiet machine: {least:.0f}/s is taken"
        )
    return Knee(max(search.best, least), peak)


def soak(wanted: Wanted, say: Say) -> Scene:
    """Memory, descriptors and threads over minutes at the knee."""
    scene, home = Scene("soak"), Home.of(INSURERS)
    with running_fleet(home, say) as fleet:
        system, asked = fleet.system(), questions(home)
        peak = measure.closed_turn(system, asked.files(system), 64, wanted.seconds)[0][0].per_s
        with generator_of(system, asked.bodies) as generator:
            at, others = knee(scene, generator, peak, wanted), measure.Others(system)
            say(f"the knee is at {at.rate_per_s:.0f}/s; {wanted.minutes:g} minutes there")
            times: list[float] = []
            memory: list[float] = []
            held: list[Held] = []
            bad, sent = 0.0, 0
            begun = time.monotonic()
            while time.monotonic() - begun < 60 * wanted.minutes:
                run = generator.run(poisson(at.rate_per_s, SEGMENT_S, QUESTIONS, seed=len(times)), SEGMENT_S)
                held.append(system.held())
                times.append((time.monotonic() - begun) / 60)
                memory.append(held[-1].rss_kb / 1024)
                bad, sent = bad + run.bad_share * len(run.samples), sent + len(run.samples)
                say(
                    f"{times[-1]:5.1f} min: {memory[-1]:.0f} MB, {held[-1].descriptors} descriptors, {held[-1].threads} threads, p99 {run.quantile_ms(0.99):.1f} ms, {dict(run.statuses)}"
                )
            scene.notes += others.notes()
    settled = len(times) // 5  # allocators fill their pools first
    rise = 10 * slope(times[settled:], memory[settled:]) / memory[-1]
    scene.notes.append(
        f"{sent} requests at {at.rate_per_s:.0f}/s; {memory[0]:.0f} MB at first, {memory[-1]:.0f} MB at last"
    )
    scene.verdicts = [
        Verdict("memory's rise in ten minutes, as a share of it", rise, at_most=MOST_RISE),
        Verdict("more descriptors at the end", held[-1].descriptors - held[settled].descriptors, at_most=MOST_MORE),
        Verdict("more threads at the end", held[-1].threads - held[settled].threads, at_most=MOST_MORE),
        Verdict("share not answered whole", bad / max(1, sent), at_most=0.01),
    ]
    return scene


def overload(wanted: Wanted, say: Say) -> Scene:
    """Three times the knee, from keys of all priorities."""
    scene, home = Scene("overload"), Home.of(INSURERS)
    with ExitStack() as stack:
        fleet = stack.enter_context(running_fleet(home, say))
        asked, keys = questions(home), new_keys(home.path / "keys")
        port = stack.enter_context(further_gateway(fleet, keys.settings))
        system = replace(fleet.system(ports=(port,)), headers=request_headers(keys.texts["interactive"], BUDGET_MS))
        peak = measure.closed_turn(system, asked.files(system), 64, wanted.seconds)[0][0].per_s
        with generator_of(system, asked.bodies) as generator:
            at, others = knee(scene, generator, peak, wanted), measure.Others(system)
            calm_per_s = CALM * at.rate_per_s
            before = generator.run(poisson(calm_per_s, CALM_S, QUESTIONS, seed=1), CALM_S)
        say(
            f"the knee is at {at.rate_per_s:.0f}/s, the most answers {at.peak_per_s:.0f}/s; {wanted.overload_s:g} s at {OVERLOAD:g} times the knee"
        )
        requests = [
            raw(port, body, request_headers(keys.texts[name], BUDGET_MS)) for name in SHARES for body in asked.bodies
        ]
        crowd = stack.enter_context(_closing(Generator(port, requests, 512)))
        run = crowd.run(mixed(poisson(OVERLOAD * at.rate_per_s, wanted.overload_s, 1000, seed=2)), wanted.overload_s)
        after_s = NORMAL_WITHIN_S + CALM_S
        after = crowd.run(poisson(calm_per_s, after_s, QUESTIONS, seed=3), after_s)
        scene.notes += others.notes()
    late = [s.latency_s * 1e3 for s in after.samples if s.due_s >= NORMAL_WITHIN_S]
    scene.notes += list(_of_priorities(run))
    scene.notes.append(
        f"p99 at half the knee: {before.quantile_ms(0.99):.1f} ms before; the generator used {run.cpu_s / run.seconds:.0%} of a core, lateness p99 {run.late_ms(0.99):.1f} ms"
    )
    scene.verdicts = [
        Verdict(f"whole answers at {OVERLOAD:g} x the knee / the most", run.good_per_s / at.peak_per_s, at_least=0.9),
        Verdict("interactive answered", answered(run, "interactive"), at_least=0.99),
        Verdict(
            f"p99 in ms, {NORMAL_WITHIN_S:g} s after", percentile(late, 0.99) if late else float("inf"),
            at_most=max(NORMAL_MS, 1.5 * before.quantile_ms(0.99)),
        ),
    ]  # fmt: skip
    return scene


@contextmanager
def _closing(generator: Generator) -> Iterator[Generator]:
    try:
        yield generator
    finally:
        generator.close()


@dataclass(frozen=True)
class Keys:
    """A key of each priority, and the settings of a gateway that accepts them."""

    texts: Mapping[str, str]
    settings: Mapping[str, str]


def new_keys(folder: Path) -> Keys:
    """Made by the gateway's own command. Raises `CannotRun`."""
    folder.mkdir(parents=True, exist_ok=True)
    secret, file = folder / "secret", folder / "keys.json"
    secret.write_text(secrets.token_hex(32))
    texts, entries = {}, []
    for priority in SHARES:
        command = [
            str(ROOT / "services" / "gateway" / ".venv" / "bin" / "python"), "-m", "gateway", "new-key", "--id", priority,
            "--scopes", "quotes", "--priority", priority, "--secret-file", str(secret),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        shown = [word for word in done.stderr.split() if word.startswith("bp_")]
        if done.returncode or not shown:
            raise CannotRun(f"no key of priority {priority}: {done.stderr.strip()[-500:]}")
        texts[priority] = shown[0]
        entries.append(json.loads(done.stdout))
    file.write_text(json.dumps({"keys": entries}))
    return Keys(texts, {"GATEWAY_KEYS_FILE": str(file), "GATEWAY_KEYS_SECRET_FILE": str(secret)})


def mixed(plan: Plan) -> Plan:
    """A plan over 1,000 places as one over the questions of all priorities, each with its share."""
    edges, sum_ = [], 0.0
    for share in SHARES.values():
        sum_ += share
        edges.append(round(1000 * sum_))
    which = []
    for number, place in enumerate(plan.which):
        priority = next(i for i, edge in enumerate(edges) if place < edge)
        which.append(priority * QUESTIONS + number % QUESTIONS)
    return Plan(plan.due_s, which)


def answered(run: Run, priority: str) -> float:
    """The share of a priority's requests that got an answer."""
    own = [s for s in run.samples if s.which // QUESTIONS == list(SHARES).index(priority)]
    return sum(s.status == 200 for s in own) / len(own) if own else 0.0


def _of_priorities(run: Run) -> Iterator[str]:
    for priority in SHARES:
        own = [s for s in run.samples if s.which // QUESTIONS == list(SHARES).index(priority)]
        part = replace(run, samples=own)
        yield f"{priority}: {len(own)} requests, {dict(part.statuses)}, p99 {part.quantile_ms(0.99):.0f} ms"


SCENES: Final[Mapping[str, Callable[[Wanted, Say], Scene]]] = {
    "compare": compare,
    "scaling": scaling,
    "insurers": insurers,
    "soak": soak,
    "overload": overload,
}
