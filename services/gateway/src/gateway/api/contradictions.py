"""Which answers cannot be true together, although each is well-formed?"""

from collections.abc import Mapping
from typing import Final

from gateway.api.problems import Wrong
from gateway.domain.risk import Value
from kit.contract import Contract

TWO_SOURCES: Final = "stands together with `{}`: send the id or the fields, not both"


class Contradictions:
    """The contract's rules between fields, looked up once: they are checked for every request."""

    def __init__(self, contract: Contract) -> None:
        entity_of = {e.id: e.name for e in contract.entities}
        self._sources = [
            (g.name, g.entity, [(f.name, f"risk.{f.path}") for f in contract.fields_of(entity_of[g.entity])])
            for g in contract.groups
            if g.entity is not None
        ]
        named = [(o, contract.field(o.least), contract.field(o.most)) for o in contract.orders]
        self._orders = [
            (
                (least.group, least.name),
                (most.group, most.name),
                o.gap,
                Wrong(f"risk.{least.path}", f"contradicts `{most.path}`: {o.message}"),
            )
            for o, least, most in named
        ]

    def find(self, groups: Mapping[str, Mapping[str, Value]]) -> list[Wrong]:
        """Everything that contradicts, in well-formed answers by group and field name."""
        wrong = []
        for group, entity_id, fields in self._sources:
            sent = groups.get(group)
            if sent is not None and entity_id in sent and len(sent) > 1:
                wrong += [Wrong(path, TWO_SOURCES.format(entity_id)) for name, path in fields if name in sent]
        for (low_group, low), (high_group, high), gap, problem in self._orders:
            least, most = groups.get(low_group, {}).get(low), groups.get(high_group, {}).get(high)
            if least is not None and most is not None and float(least) + gap > float(most):
                wrong.append(problem)
        return wrong
