"""Settings of the two meeting places: the graph database and the Kafka bus."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class GraphSettings(BaseModel):
    """Where the graph is; environment names begin with ``HELIOGRAPH_GRAPH__``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str = Field(default="", description="Bolt URI of a Neo4j 5 server; empty means the embedded one.")
    user: str = Field(default="", description="User name; empty for no authentication.")
    password: SecretStr = Field(default=SecretStr(""), description="Password of that user.")
    database: str = Field(default="neo4j", description="Name of the database.")
    connection_timeout_s: float = Field(default=15.0, gt=0, description="Time allowed for a new connection [s].")


class SecurityProtocol(StrEnum):
    """How to talk to Kafka; librdkafka's ``security.protocol``."""

    PLAINTEXT = "plaintext"
    SSL = "ssl"
    SASL_PLAINTEXT = "sasl_plaintext"
    SASL_SSL = "sasl_ssl"


class KafkaSettings(BaseModel):
    """Where the bus is; environment names begin with ``HELIOGRAPH_KAFKA__``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bootstrap_servers: str = Field(
        default="", description="Comma-separated host:port list; empty means the embedded broker."
    )
    security_protocol: SecurityProtocol = Field(default=SecurityProtocol.PLAINTEXT, description="Encryption and login.")
    sasl_mechanism: str = Field(default="", description="SCRAM-SHA-512, PLAIN, OAUTHBEARER, ...; empty without SASL.")
    sasl_username: str = Field(default="", description="User name for SASL.")
    sasl_password: SecretStr = Field(default=SecretStr(""), description="Password for SASL.")
    partitions: int = Field(default=2, ge=1, description="Partitions of a topic that Heliograph has to create.")
    max_message_bytes: int = Field(
        default=16_777_216,
        ge=1_048_576,
        description="Largest message on a created topic [bytes]; GCN allows 4 MiB, sky maps in JSON grow by a third.",
    )

    def client_config(self) -> dict[str, str | int]:
        """Return librdkafka's settings for any client of this bus."""
        config: dict[str, str | int] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol.value,
        }
        if self.sasl_mechanism:
            config |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password.get_secret_value(),
            }
        return config
