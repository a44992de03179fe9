"""Settings as the verbs use them: with the addresses of what is running."""

from __future__ import annotations

from compose.cli.console import set_up_logging
from compose.config import Settings, load_settings
from compose.stack import embedded


def located_settings() -> Settings:
    """Return the settings with the addresses of the embedded servers where the user named none."""
    settings = load_settings()
    set_up_logging(settings.log_level)
    return embedded.find(settings).apply(settings)
