"""Settings of the alert stream and of the notice listener."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ingest.archive.layout import Compression


class IngestSettings(BaseModel):
    """What is read and how; environment names begin with ``HELIOGRAPH_INGEST__``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic_ztf: str = Field(default="alerts.ztf", description="Topic of ZTF alert packets.")
    topic_lsst: str = Field(default="alerts.lsst", description="Topic of LSST alert packets.")
    max_offsets_per_batch: int = Field(
        default=16000, ge=1, description="Alerts in one micro-batch at most; what a burst is cut into."
    )
    max_rows_at_once: int = Field(default=2000, ge=1, description="Alerts that an executor handles at a time at most.")
    trigger_interval_s: float = Field(default=1.0, ge=0, description="Pause between micro-batches [s]; 0 for none.")
    master: str = Field(default="local[*]", description="Spark master URL.")
    driver_host: str = Field(
        default="127.0.0.1", description="Address of this machine at which the executors of a cluster find the driver."
    )
    executor_memory_mb: int = Field(
        default=1024, ge=512, description="Java heap of an executor on a cluster [MiB]; packets do not go through it."
    )
    catalogue_dir: Path | None = Field(default=None, description="Folder of catalogues made by 'heliograph catalogue'.")
    min_reliability: float = Field(
        default=0.3, ge=0, le=1, description="Real/bogus score below which an alert is filtered as 'low_reliability'."
    )
    classifier_time_limit_s: float = Field(
        default=30.0, gt=0, description="Time that one classifier has for one batch [s]; beyond it is left out."
    )
    keep_private: bool = Field(default=False, description="Load ZTF alerts of partnership programmes too.")
    max_message_bytes: int = Field(
        default=8_388_608, ge=1024, description="Largest alert packet that is decoded [bytes]."
    )
    schema_registry_url: str = Field(
        default="", description="Schema registry asked for ids that are not published; empty for none."
    )
    schema_registry_user: str = Field(default="", description="User name at the schema registry; empty for none.")
    schema_registry_password: SecretStr = Field(
        default=SecretStr(""), description="Password of that user at the schema registry."
    )
    archive_dir: str | None = Field(
        default=None,
        description="Folder or URI of the archive; empty means 'archive' below HELIOGRAPH_HOME, 'off' means none.",
    )
    archive_compression: Compression = Field(
        default=Compression.NONE,
        description="Compression of archived packets: none, zstd or lz4; their images are compressed already.",
    )
    xmatch_url: str = Field(
        default="",
        description="X-match service; empty means the CDS's for 'heliograph crossmatch' and none for the stream.",
    )
    xmatch_timeout_s: float = Field(default=30.0, gt=0, le=600, description="Time allowed for an answer of it [s].")
    xmatch_max_concurrent: int = Field(default=4, ge=1, le=32, description="Requests to it under way at once.")
    xmatch_rows_per_request: int = Field(
        default=20000, ge=1, le=200_000, description="Positions in one request to it at most."
    )
    xmatch_cache_dir: Path | None = Field(
        default=None, description="Folder of its answers on a local disk; empty means 'xmatch' below HELIOGRAPH_HOME."
    )
    xmatch_cache_days: float = Field(default=7.0, gt=0, description="Age at which an answer is asked for again [d].")
    xmatch_cache_mb: int = Field(
        default=512, ge=1, description="Size at which the oldest quarter of the answers is deleted [MiB]."
    )
    gcn_client_id: str = Field(default="", description="Client id for GCN Kafka.")
    gcn_client_secret: SecretStr = Field(default=SecretStr(""), description="Client secret for GCN Kafka.")
    gcn_domain: str = Field(default="gcn.nasa.gov", description="GCN Kafka domain.")
    heartbeat_gap_s: float = Field(
        default=60.0, gt=0, description="Time without a heartbeat of a source beyond which its link counts as down [s]."
    )
