"""Settings of the coordinator."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from coordinator.background import DEFAULT_BACKGROUND, Background
from coordinator.coincidence import DEFAULT_MAX_CREDIBLE_LEVEL
from coordinator.posterior import PRIORS
from graph.model import ScienceCase, Survey


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
    counterpart_prior_grb: float = Field(
        default=PRIORS[ScienceCase.GRB].probability,
        gt=0,
        lt=1,
        description="Probability that the afterglow of a gamma-ray burst is seen if its whole "
        "localization is looked at.",
    )
    counterpart_prior_gw: float = Field(
        default=PRIORS[ScienceCase.GW].probability,
        gt=0,
        lt=1,
        description="Probability that the counterpart of a gravitational wave is seen if its whole "
        "localization is looked at.",
    )
    counterpart_prior_neutrino: float = Field(
        default=PRIORS[ScienceCase.NEUTRINO].probability,
        gt=0,
        lt=1,
        description="Probability that the source of a neutrino is seen if its whole localization is looked at.",
    )
    counterpart_prior_unknown: float = Field(
        default=PRIORS[ScienceCase.UNKNOWN].probability,
        gt=0,
        lt=1,
        description="Probability that the counterpart of any other event is seen if its whole "
        "localization is looked at.",
    )
    poll_messages: int = Field(default=200, ge=1, description="Messages taken from the bus at a time.")
    coalesce_s: float = Field(
        default=1.0, ge=0, description="Least time between two states of one event [s]; a retraction does not wait."
    )
    notices_per_s: float = Field(
        default=20.0,
        gt=0,
        description="Notices of one mission beyond this rate wait until little else is to be done [1/s].",
    )
    notices_burst: float = Field(
        default=500.0, ge=1, description="Notices of one mission that may come at once before that rate holds."
    )
    told_pairs_max: int = Field(
        default=1000,
        ge=1,
        description="Coincidences of one event that are told in messages of their own, the strongest; the others are "
        "in the graph, the API and the lists.",
    )
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

    def counterpart_prior(self, case: ScienceCase) -> float:
        """Return the probability that the counterpart of an event of some case is seen."""
        return {
            ScienceCase.GRB: self.counterpart_prior_grb,
            ScienceCase.GW: self.counterpart_prior_gw,
            ScienceCase.NEUTRINO: self.counterpart_prior_neutrino,
        }.get(case, self.counterpart_prior_unknown)

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
