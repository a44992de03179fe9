"""Settings of the coordinator."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from coordinator.background import DEFAULT_BACKGROUND, Background
from coordinator.coincidence import DEFAULT_MAX_CREDIBLE_LEVEL
from graph.model import Survey


class CoordinatorSettings(BaseModel):
    """What coincides and what is listed; environment names begin with ``HELIOGRAPH_COORDINATOR__``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_credible_level: float = Field(
        default=DEFAULT_MAX_CREDIBLE_LEVEL,
        gt=0,
        lt=1,
        description="Objects outside this credible region of an event do not coincide with it.",
    )
    list_length: int = Field(default=50, ge=1, le=10_000, description="Targets on a follow-up list at most.")
    list_interval_s: float = Field(default=5.0, ge=0, description="Least time between two looks at the lists [s].")
    list_window_d: float = Field(
        default=60.0, gt=0, description="Objects first detected longer ago are not listed without an event [d]."
    )
    new_ztf_objects_per_deg2_day: float = Field(
        default=DEFAULT_BACKGROUND.rate_per_deg2_day[Survey.ZTF.value],
        gt=0,
        description="Rate of unrelated new ZTF objects that chance coincidences are made of [1/deg2/d].",
    )
    new_lsst_objects_per_deg2_day: float = Field(
        default=DEFAULT_BACKGROUND.rate_per_deg2_day[Survey.LSST.value],
        gt=0,
        description="The same for LSST [1/deg2/d].",
    )
    background_nights: int = Field(
        default=30,
        ge=0,
        le=366,
        description="Nights of the own stream that the rates of unrelated new objects are measured from, in place of "
        "their defaults; 0 for no measurement.",
    )
    apply_calibration: bool = Field(
        default=False, description="Correct chance probabilities as 'heliograph calibrate' measured them."
    )
    poll_messages: int = Field(default=200, ge=1, description="Messages taken from the bus at a time.")
    include_tests: bool = Field(
        default=False,
        description="Match events of tests and injections too; their coincidences are stored, never published.",
    )
    ivorn_authority: str = Field(
        default="heliograph",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._~*'()+=-]{2,63}$",
        description="Authority in the IVORNs of published coincidences; register your own with the IVOA.",
    )
    publish_avro: bool = Field(
        default=False, description="Publish joint events, retractions and lists as Avro too, on topics ending in .avro."
    )

    def background(self) -> Background:
        """Return the rates of unrelated new objects."""
        rates = {
            Survey.ZTF.value: self.new_ztf_objects_per_deg2_day,
            Survey.LSST.value: self.new_lsst_objects_per_deg2_day,
        }
        return (
            DEFAULT_BACKGROUND
            if rates == DEFAULT_BACKGROUND.rate_per_deg2_day
            else Background(rates, "from the settings")
        )
