"""Fixtures for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of recorded alerts and notices; skip where the clone stands alone."""
    if not SHARED_DATA.is_dir():
        pytest.skip("recorded alerts and notices are not beside this clone")
    return SHARED_DATA
