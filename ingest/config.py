"""Settings of the alert stream and of the notice listener."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class IngestSettings(BaseModel):
    """What is read and how; environment names begin with ``HELIOGRAPH_INGEST__``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic_ztf: str = Field(default="alerts.ztf", description="Topic of ZTF alert packets.")
    topic_lsst: str = Field(default="alerts.lsst", description="Topic of LSST alert packets.")
    max_offsets_per_batch: int = Field(
        default=8000, ge=1, description="Alerts in one micro-batch at most; bounds memory at about 100 kB an alert."
    )
    rows_per_arrow_batch: int = Field(default=2000, ge=1, description="Alerts that an executor handles at a time.")
    trigger_interval_s: float = Field(default=1.0, ge=0, description="Pause between micro-batches [s]; 0 for none.")
    master: str = Field(default="local[*]", description="Spark master URL.")
    catalogue_dir: Path | None = Field(default=None, description="Folder of catalogues made by 'heliograph catalogue'.")
    min_reliability: float = Field(
        default=0.3, ge=0, le=1, description="Real/bogus score below which an alert is filtered as 'low_reliability'."
    )
    keep_private: bool = Field(default=False, description="Load ZTF alerts of partnership programmes too.")
    max_message_bytes: int = Field(
        default=8_388_608, ge=1024, description="Largest alert packet that is decoded [bytes]."
    )
    gcn_client_id: str = Field(default="", description="Client id for GCN Kafka.")
    gcn_client_secret: SecretStr = Field(default=SecretStr(""), description="Client secret for GCN Kafka.")
    gcn_domain: str = Field(default="gcn.nasa.gov", description="GCN Kafka domain.")
