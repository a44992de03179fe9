"""The embedded Neo4j: ``python -m compose.stack.neo4j_server '{"home": ..., "port": ...}'``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jpype

from compose.stack.host import serve_until_stopped, start_jvm

OPENED_MODULES = ("java.base/java.nio", "java.base/java.io", "java.base/sun.nio.ch", "java.base/java.util.concurrent")
"""Packages that Neo4j 5 reaches by reflection on Java 17; from the launcher script of its distribution."""


def server_settings(config: dict[str, Any]) -> dict[str, str]:
    """Return what differs from the defaults of Neo4j."""
    return {
        "server.bolt.enabled": "true",
        "server.bolt.listen_address": f"127.0.0.1:{config['port']}",
        "server.memory.pagecache.size": f"{config['page_cache_mb']}m",
        # A typed query is bounded in time and rows, but a single row can be as large as it likes.
        "db.memory.transaction.max": f"{config['heap_mb'] // 4}m",
        "db.tx_log.rotation.retention_policy": "2 files",
        # A burst of notices makes the counts of a small graph diverge within seconds, and planning its statements anew
        # takes up to a second each while fresh bursts wait.
        "dbms.cypher.min_replan_interval": "60s",
        # LOAD CSV reads local files and URLs even in a READ session: nothing here needs it.
        "dbms.security.allow_csv_import_from_file_urls": "false",
        "internal.dbms.cypher_ip_blocklist": "0.0.0.0/0,::/0",
    }


def run(config: dict[str, Any]) -> None:
    """Start Neo4j with Bolt on the loopback address and serve until stopped."""
    start_jvm(config["jars"], config["heap_mb"], [f"--add-opens={name}=ALL-UNNAMED" for name in OPENED_MODULES])
    home = Path(config["home"])
    home.mkdir(parents=True, exist_ok=True)
    properties = home / "neo4j.conf"
    properties.write_text("".join(f"{name}={value}\n" for name, value in server_settings(config).items()))
    path_of = jpype.JClass("java.nio.file.Path").of
    builder = jpype.JClass("org.neo4j.dbms.api.DatabaseManagementServiceBuilder")(path_of(str(home)))
    builder.loadPropertiesFromFile(path_of(str(properties)))
    service = builder.build()
    serve_until_stopped(service.shutdown, config["parent_pid"])


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
