"""Settings of the whole: built once here, passed down."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.config import ApiSettings
from coordinator.config import CoordinatorSettings
from graph.config import GraphSettings, KafkaSettings
from graph.errors import ConfigurationError
from ingest.config import IngestSettings


class StackSettings(BaseModel):
    """The embedded servers; environment names begin with ``HELIOGRAPH_STACK__``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    neo4j_port: int = Field(default=0, ge=0, le=65535, description="Bolt port on 127.0.0.1; 0 takes a free one.")
    kafka_port: int = Field(default=0, ge=0, le=65535, description="Kafka port on 127.0.0.1; 0 takes a free one.")
    neo4j_heap_mb: int = Field(default=1024, ge=256, description="Java heap of the embedded Neo4j [MiB].")
    neo4j_page_cache_mb: int = Field(default=512, ge=64, description="Page cache of the embedded Neo4j [MiB].")
    kafka_heap_mb: int = Field(default=512, ge=128, description="Java heap of the embedded Kafka [MiB].")
    spark_driver_memory_mb: int = Field(default=2048, ge=512, description="Java heap of the Spark driver [MiB].")
    start_timeout_s: float = Field(default=90.0, gt=0, description="Time allowed for a server to answer [s].")
    min_free_disk_mb: int = Field(default=1024, ge=0, description="Free disk below which nothing is started [MiB].")


class Settings(BaseSettings):
    """All settings; ``HELIOGRAPH_<PART>__<NAME>`` in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="HELIOGRAPH_", env_nested_delimiter="__", extra="ignore", frozen=True, env_ignore_empty=True
    )

    home: Path = Field(
        default=Path("~/.heliograph"), description="Folder of the embedded servers, checkpoints and logs."
    )
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least severe message logged."
    )
    graph: GraphSettings = GraphSettings()
    kafka: KafkaSettings = KafkaSettings()
    ingest: IngestSettings = IngestSettings()
    coordinator: CoordinatorSettings = CoordinatorSettings()
    api: ApiSettings = ApiSettings()
    stack: StackSettings = StackSettings()


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises
    ------
    ConfigurationError : one sentence that names the first wrong setting.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "HELIOGRAPH_" + "__".join(str(part).upper() for part in first["loc"])
        raise ConfigurationError(f"The setting {name} is wrong: {first['msg']}.") from error
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})
