"""The embedded Kafka: ``python -m compose.stack.kafka_server '{"home": ..., "port": ...}'``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jpype

from compose.stack.host import serve_until_stopped, start_jvm

CLUSTER_ID = "aGVsaW9ncmFwaC0xbm9kZQ"
"""Identifier of the one-node cluster: 16 bytes as 22 characters of base64, any will do."""


def server_properties(config: dict[str, Any]) -> str:
    """Return ``server.properties`` of one KRaft node that is broker and controller."""
    address, controller = f"127.0.0.1:{config['port']}", f"127.0.0.1:{config['controller_port']}"
    lines = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{controller}",
        "listeners": f"PLAINTEXT://{address},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{address}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": Path(config["home"]) / "data",
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "auto.create.topics.enable": "false",
        "log.retention.hours": 168,
        # What was deleted on demand leaves the disk at the next check, not after five minutes.
        "log.retention.check.interval.ms": 30_000,
        "log.segment.bytes": 268435456,
        "message.max.bytes": config["max_message_bytes"],
        "replica.fetch.max.bytes": config["max_message_bytes"],
        "offsets.topic.num.partitions": 4,
        "num.network.threads": 2,
        "num.io.threads": 4,
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def run(config: dict[str, Any]) -> None:
    """Format the storage once, start the broker and serve until stopped."""
    home = Path(config["home"])
    home.mkdir(parents=True, exist_ok=True)
    properties = home / "server.properties"
    properties.write_text(server_properties(config))
    start_jvm(config["jars"], config["heap_mb"])
    if not (home / "data" / "meta.properties").exists():
        tool = jpype.JClass("kafka.tools.StorageTool")
        arguments = ["format", "-t", CLUSTER_ID, "-c", str(properties)]
        status = tool.execute(arguments, jpype.JClass("java.lang.System").out)
        if status != 0:
            sys.exit(f"kafka storage format ended with status {status}")
    loaded = jpype.JClass("org.apache.kafka.common.utils.Utils").loadProps(str(properties))
    time_source = jpype.JClass("org.apache.kafka.common.utils.Time").SYSTEM
    kafka_config = jpype.JClass("kafka.server.KafkaConfig").fromProps(loaded, False)
    server = jpype.JClass("kafka.server.KafkaRaftServer")(kafka_config, time_source)
    server.startup()

    def stop() -> None:
        server.shutdown()
        server.awaitShutdown()

    serve_until_stopped(stop, config["parent_pid"])


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
