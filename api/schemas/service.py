"""The service itself: health, counts, ledger and typed queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api.schemas.common import ResponseModel
from graph.model import Survey
from graph.readonly import MAX_QUERY_CHARACTERS


class HealthResponse(ResponseModel):
    """Whether the service lives, and whether it reaches the graph."""

    status: Literal["ok"] = Field(default="ok", description="This process answers.")
    graph_reachable: bool = Field(description="Whether the graph answers too.")


class ReadyResponse(ResponseModel):
    """The service can answer questions now."""

    status: Literal["ready"] = Field(default="ready", description="The graph answers.")


class CoincidenceCountsResponse(ResponseModel):
    """Numbers of pairs."""

    open: int = Field(description="Object-event pairs that stand.", examples=[12])
    withdrawn: int = Field(description="Object-event pairs withdrawn after a retraction or an update.", examples=[3])
    joint_events: int = Field(description="Event-event pairs of different messengers.", examples=[1])


class CountsResponse(ResponseModel):
    """What the graph holds."""

    nodes: Mapping[str, int] = Field(description="Number of nodes of each label.", examples=[{"Object": 1200}])
    coincidences: CoincidenceCountsResponse = Field(description="Numbers of pairs.")


class LedgerNightResponse(ResponseModel):
    """What became of one survey's alerts in one night."""

    survey: Survey = Field(description="The survey.", examples=["ztf"])
    night: int = Field(description="Date of the night, UTC, as yyyymmdd.", examples=[20200524])
    received: int = Field(description="Alerts received.", examples=[1000])
    archived: int | None = Field(description="Alerts in the archive; null where none was on.", examples=[995])
    archive_mismatch: int = Field(
        description="Alerts too few or too many in the archive, summed over the batches that it was on for.",
        examples=[0],
    )
    filtered: Mapping[str, int] = Field(
        description="Alerts filtered, for each reason.", examples=[{"low_reliability": 85}]
    )
    classified: int = Field(description="Alerts that the classifiers saw.", examples=[910])
    left_out: Mapping[str, int] = Field(
        description="Alerts on which a classifier was not heard, because it failed or took too long, for each.",
        examples=[{"sn_types": 120}],
    )
    loaded: int = Field(description="Alerts loaded into the graph.", examples=[900])
    dead: int = Field(description="Alerts refused as unreadable.", examples=[5])
    dead_reasons: Mapping[str, int] = Field(description="Alerts refused, for each reason.", examples=[{"malformed": 5}])
    duplicates: int = Field(description="Alerts seen before.", examples=[10])
    balanced: bool = Field(
        description=(
            "Whether every alert received is loaded, a duplicate, filtered or refused, and every readable one in the "
            "archive that was on."
        )
    )


class LedgerResponse(ResponseModel):
    """The ledger of the newest nights."""

    items: tuple[LedgerNightResponse, ...] = Field(description="Newest night first.")


class CypherRequest(BaseModel):
    """A query that reads the graph."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str = Field(
        description="Cypher text. Writes, LOAD CSV, SHOW and procedures other than the schema's are refused.",
        min_length=1,
        max_length=MAX_QUERY_CHARACTERS,
        examples=["MATCH (o:Object)-[c:COINCIDES_WITH]->(e:Event {mission: $mission}) RETURN o, c LIMIT 10"],
    )
    params: dict[str, JsonValue] = Field(
        default_factory=dict, description="Values of the query's parameters.", examples=[{"mission": "Fermi"}]
    )
    max_rows: int | None = Field(
        default=None,
        ge=1,
        description="Most rows to return; the service's own bound if absent or larger.",
        examples=[10],
    )


class CypherResponse(ResponseModel):
    """The rows that a query gave."""

    columns: tuple[str, ...] = Field(description="Names of the columns.", examples=[["o", "c"]])
    rows: tuple[tuple[JsonValue, ...], ...] = Field(
        description=(
            "Values by row and column. Integers beyond 2^53 are text, bytes base64, times ISO 8601, nodes maps of "
            "`labels` and `properties`, relationships maps of `type` and `properties`."
        )
    )
    truncated: bool = Field(description="Whether there were more rows than returned.")
