"""Java: a prerequisite that is checked first."""

from __future__ import annotations

import re
import shutil
import subprocess

from graph.errors import EnvironmentProblem

SUPPORTED_JAVA = (17, 21)
"""Major versions that Spark 4.0, Neo4j 5.26 and Kafka 4.1 all support, by their release notes."""


def check_java() -> int:
    """Return the major version of the Java on PATH.

    Raises
    ------
    EnvironmentProblem : there is none, or another version.
    """
    java = shutil.which("java")
    if java is None:
        raise EnvironmentProblem("Java is missing: install a Java 17 runtime and put it on PATH.")
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    major = int(found.group(1)) if found else 0
    if major not in SUPPORTED_JAVA:
        raise EnvironmentProblem(f"Java {major or 'of unknown version'} is on PATH, Java 17 or 21 is needed.")
    return major
