"""The one error of the package: a request that brought no answer, with its reason."""

from __future__ import annotations

from graph.errors import CatalogueServiceError
from ingest.xmatch.columns import FailReason


class UnansweredError(CatalogueServiceError):
    """One request brought no answer that can be used; never seen outside, where it is a status of rows."""

    def __init__(self, reason: FailReason, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s
        """How long the service asks to be left alone [s]; 0 where it does not say."""
