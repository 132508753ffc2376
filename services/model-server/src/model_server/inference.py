"""Runs a request on a loaded version: what every door, and the warm-up, does with a model once it is found."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from kit.tensors import Envelope, open_request
from model_server import examples, predict, protos
from model_server.errors import invalid
from model_server.examples import CLASSIFY, REGRESS, Asked
from model_server.metrics import Metrics
from model_server.predict import Plan
from model_server.scheduler import Outputs
from model_server.states import Loaded

Array = NDArray[Any]


@dataclass(slots=True, eq=False)
class Run:
    """A Predict request on its way through a model."""

    model: str
    loaded: Loaded
    plan: Plan
    outputs: Outputs
    started: float = 0.0

    def __post_init__(self) -> None:
        self.started = time.perf_counter()

    async def named(self) -> Mapping[str, Array]:
        """The outputs by alias. Raises `ServingError`."""
        return dict(zip(self.plan.aliases, await self.outputs, strict=True))


class Inference:
    """Predict, Classify, Regress and MultiInference on one version. All are called in the event loop."""

    def __init__(self, metrics: Metrics, *, check_method: bool = False) -> None:
        self.metrics, self._check_method = metrics, check_method

    def start(self, loaded: Loaded, request: Envelope, timeout_ms: int) -> Run:
        """Check a Predict request and start its run. Raises `ServingError`."""
        plan = predict.plan(loaded.servable.signatures, request, check_method=self._check_method)
        return Run(request.model, loaded, plan, loaded.runner.submit(plan.feeds, plan.fetches, timeout_ms))

    def ended(self, run: Run) -> None:
        """A Predict run has succeeded."""
        took = time.perf_counter() - run.started
        self.metrics.runtime_latency.observe(took * 1e6, run.model, "Predict", "TF1")
        if self.metrics.versions is not None:
            self.metrics.versions.seconds.observe(took, run.model, str(run.loaded.number))

    async def classify(self, loaded: Loaded, request: Any, timeout_ms: int) -> Any:
        """`ClassificationResponse`. Raises `ServingError`."""
        asked = examples.signature_for(loaded.servable.signatures, request.model_spec.signature_name, CLASSIFY)
        outputs, count = await self._run(loaded, [asked], request, timeout_ms, "Classify")
        response = protos.classification_pb2.ClassificationResponse()
        response.result.CopyFrom(examples.classifications(_of(asked, outputs), count))
        _fill_spec(response.model_spec, request.model_spec.name, loaded, asked.signature)
        return response

    async def regress(self, loaded: Loaded, request: Any, timeout_ms: int) -> Any:
        """`RegressionResponse`. Raises `ServingError`."""
        asked = examples.signature_for(loaded.servable.signatures, request.model_spec.signature_name, REGRESS)
        outputs, count = await self._run(loaded, [asked], request, timeout_ms, "Regress")
        response = protos.regression_pb2.RegressionResponse()
        response.result.CopyFrom(examples.regressions(_of(asked, outputs), count))
        _fill_spec(response.model_spec, request.model_spec.name, loaded, asked.signature)
        return response

    async def multi_inference(self, loaded: Loaded, request: Any, timeout_ms: int) -> Any:
        """`MultiInferenceResponse`: one run for all tasks. Raises `ServingError`."""
        wanted = examples.tasks(loaded.servable.signatures, request)
        outputs, count = await self._run(loaded, wanted, request, timeout_ms, "MultiInference")
        response = protos.inference_pb2.MultiInferenceResponse()
        for asked in wanted:
            added, own = response.results.add(), _of(asked, outputs)
            if asked.method == CLASSIFY:
                added.classification_result.CopyFrom(examples.classifications(own, count))
            else:
                added.regression_result.CopyFrom(examples.regressions(own, count))
            _fill_spec(added.model_spec, request.tasks[0].model_spec.name, loaded, asked.signature)
        return response

    async def warm_up(self, loaded: Loaded, request: Any) -> None:
        """Run one request of a warm-up file; what its spec says of model and version does not count."""
        match request.DESCRIPTOR.name:
            case "PredictRequest":
                await self.start(loaded, open_request(request.SerializeToString()), 0).outputs
            case "ClassificationRequest":
                await self.classify(loaded, request, 0)
            case "RegressionRequest":
                await self.regress(loaded, request, 0)
            case _:
                await self.multi_inference(loaded, request, 0)

    async def _run(
        self, loaded: Loaded, wanted: Sequence[Asked], request: Any, timeout_ms: int, api: str
    ) -> tuple[Mapping[str, Array], int]:
        """The outputs by tensor name, and the number of examples."""
        texts = examples.examples(request.input.SerializeToString())
        if not wanted:
            raise invalid("Input tensor must be the same for all Signatures.")
        fetches = sorted({tensor for asked in wanted for tensor in asked.fetches.values()})
        begun = time.perf_counter()
        outputs = await loaded.runner.submit({wanted[0].feed: texts}, fetches, timeout_ms)
        model = (request.tasks[0] if api == "MultiInference" else request).model_spec.name
        self.metrics.runtime_latency.observe((time.perf_counter() - begun) * 1e6, model, api, "TF1")
        self.metrics.example_counts.observe(len(texts), model)
        self.metrics.example_count_total.add(model, by=len(texts))
        return dict(zip(fetches, outputs, strict=True)), len(texts)


def _of(asked: Asked, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
    return {alias: outputs[tensor] for alias, tensor in asked.fetches.items()}


def _fill_spec(spec: Any, model: str, loaded: Loaded, signature: str) -> None:
    spec.name, spec.signature_name = model, signature
    spec.version.value = loaded.number
