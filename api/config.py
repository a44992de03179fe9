"""Settings of the API and the page."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ApiSettings(BaseModel):
    """How to serve; environment names begin with ``HELIOGRAPH_API__``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; the loopback address, for nothing here asks for a password.",
    )
    port: int = Field(default=0, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    query_timeout_s: float = Field(
        default=10.0, gt=0, le=600, description="Time allowed for a query typed by a user [s]; longer ones are refused."
    )
    query_max_rows: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Most rows returned for a query typed by a user."
    )
    page_limit_max: int = Field(
        default=500, ge=1, le=10_000, description="Most items on a page of events, targets, candidates or detections."
    )
    stream_readers_max: int = Field(
        default=100, ge=1, le=10_000, description="Most readers of the stream of news at a time; more are refused."
    )
    stream_heartbeat_s: float = Field(
        default=15.0, gt=0, le=3600, description="Longest silence on the stream before a heartbeat is sent [s]."
    )
    max_body_bytes: int = Field(
        default=262_144,
        ge=1024,
        description="Largest request body that is read [bytes]; a query has at most 20,000 characters.",
    )
    notice_token: SecretStr = Field(
        default=SecretStr(""), description="Token that senders of notices must know; empty means that none are taken."
    )
    max_notice_bytes: int = Field(
        default=8_388_608,
        ge=1024,
        description="Largest notice that is taken [bytes]; twice the largest at GCN, half of what Kafka takes.",
    )
