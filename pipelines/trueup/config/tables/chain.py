"""`[[chain]]`: the systems that records pass between switch and bill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trueup.config.tables.reconcile import DEFAULT, ServiceConfig
from trueup.config.values import Period, Table, Text
from trueup.units import MICROS

_DAY_US = 86_400 * MICROS
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]


class ChainConfig(Table):
    """`[[chain]]`: the stages that the records of some services pass, from the switch to the bill.

    The first stage is the usage of these services, the last one their charges. Sources with `stream = "stage"` deliver the records
    that a system between them passed on.
    """

    name: _Name
    """The name of the chain, unique in the project."""
    stages: Annotated[tuple[_Name, ...], Field(min_length=2, max_length=16)]
    """The stages in the order in which records pass them; the first is the usage, the last the charges."""
    services: tuple[Text, ...] = ()
    """The services that pass this chain; by default all."""
    compare: Literal["session_key", "aggregate"] = "session_key"
    """How stages are compared: by session key, or by sums per service, subscriber and `period`."""
    period: Period = _DAY_US
    """The period of the sums, with `aggregate`: `day`, `week` (from Monday), `month`, or a duration (from 1970)."""

    @model_validator(mode="after")
    def _check_stages(self) -> Self:
        for stage in self.stages:
            if self.stages.count(stage) > 1:
                raise ValueError(f"`stages` names {stage!r} twice")
        if len(set(self.services)) < len(self.services):
            raise ValueError("`services` names one service twice")
        if "period" in self.model_fields_set and self.compare != "aggregate":
            raise ValueError('`period` has no effect without compare = "aggregate"')
        return self

    @property
    def inner_stages(self) -> tuple[str, ...]:
        """The stages between usage and charges."""
        return self.stages[1:-1]


def check_services(chains: tuple[ChainConfig, ...], line_of: dict[str, str]) -> None:
    """Raise `ValueError` where a chain has a service that another service's charges cover.

    `line_of` maps each covered service to the service that covers it. A chain compares single services.
    """
    for chain in chains:
        for service, line in line_of.items():
            if not chain.services or {service, line} & set(chain.services):
                raise ValueError(
                    f"chain {chain.name} has services that [reconcile.{line}] sums up in one line ({line}, {service}); a chain "
                    "compares single services: name its other services in `services`"
                )


def check_sums(chains: tuple[ChainConfig, ...], tables: Mapping[str, ServiceConfig]) -> None:
    """Raise `ValueError` where findings about sums of a service would belong to no single unit of its chain.

    `tables` are all `[reconcile.NAME]`. A chain sums periods of the project's calendar.
    """
    for chain in chains:
        for service in chain.services or tables.keys():
            table = service if service in tables else DEFAULT
            rules = tables.get(table, ServiceConfig())
            if rules.match != ("aggregate",):
                continue
            leave = f"leave {service!r} out of `services`" if chain.services else "name the other services in `services`"
            if rules.period_zone == "subscriber" or rules.period == "cycle":
                own = "billing cycles" if rules.period == "cycle" else "periods in the time zones of subscriptions"
                raise ValueError(f"[reconcile.{table}] sums {own}, which chain {chain.name} cannot compare; {leave}")
            if chain.compare != "aggregate":
                raise ValueError(
                    f"chain {chain.name} compares session keys, but [reconcile.{table}] matches by sums, whose losses belong to "
                    f'no session: set compare = "aggregate" and the same `period`, or {leave}'
                )
            if not _contains(chain.period, rules.period):
                raise ValueError(
                    f"chain {chain.name} sums periods that do not contain whole periods of [reconcile.{table}]; "
                    f"give both one `period`, or {leave}"
                )


def _contains(whole: int | str, part: int | str) -> bool:
    """Return whether each period of the kind `part` lies within one period of the kind `whole`."""
    if isinstance(part, str):
        return whole == part
    return (whole if isinstance(whole, int) else _DAY_US) % part == 0


def check_chains(chains: tuple[ChainConfig, ...], stage_of_source: dict[str, str | None]) -> None:
    """Raise `ValueError` where two chains would count one loss, a stage has no source, or a source has no stage.

    `stage_of_source` has the stage of each source of the stream `stage`; None where a column names it.
    """
    for number, chain in enumerate(chains):
        for other in chains[:number]:
            if chain.name == other.name:
                raise ValueError(f"two chains are named {chain.name!r}")
            shared = set(chain.services) & set(other.services)
            if shared or not chain.services or not other.services:
                what = f"service {min(shared)!r}" if shared else "all services of one"
                raise ValueError(f"chains {other.name} and {chain.name} share {what}; a loss would count twice")
    inner = {stage for chain in chains for stage in chain.inner_stages}
    for source, stage in stage_of_source.items():
        if stage is not None and stage not in inner:
            known = ", ".join(sorted(inner)) or "none"
            raise ValueError(f"source {source} is of stage {stage!r}, which is no inner stage of a [[chain]]; there are {known}")
    declared = set(stage_of_source.values())
    for chain in chains:
        for stage in chain.inner_stages:
            if stage not in declared and None not in declared:
                raise ValueError(f'chain {chain.name} has no source of stage {stage!r}; set stream = "stage" and stage = "{stage}"')
