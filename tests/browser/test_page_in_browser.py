"""The page in a real browser: what the service knows is seen, and nothing from outside is run."""

# ruff: noqa: RUF001 - the page writes real minus signs and dashes

from __future__ import annotations

import queue
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.news import News, NewsHub
from api.testing import FakeGraph, FakeReader
from graph.errors import StoreError
from graph.model import (
    AlertTense,
    AlertType,
    Circle,
    CoincidenceState,
    EventState,
    Messenger,
    Notice,
    ScienceCase,
    Survey,
    Term,
)
from graph.topics import RETRACTIONS
from graph.views import (
    CoincidenceCounts,
    CoincidenceView,
    EventView,
    ListSummaryView,
    ListView,
    LocalizationView,
    ObjectView,
    TargetView,
)

pytestmark = pytest.mark.browser

Show = Callable[..., Any]

NOW = datetime.now(UTC).replace(microsecond=0)
HOSTILE = "<script>window.run = 1</script><img src=x onerror='window.run = 2'>\"'`"
NOTICE_ID = "7c1f0a94d5e2b86f31aa04c9d7be5f02"


def event(mission: str, event_id: str, hours: float, place: tuple[float, ...] | float | None, **more: Any) -> EventView:
    """Return an event so many hours old: at a circle, on a sky map of so many square degrees, or nowhere."""
    where = None
    if isinstance(place, tuple):
        ra, dec, radius, area = place
        where = LocalizationView(NOTICE_ID, "circle", ra, dec, radius, 0.9, area)
    elif place is not None:
        where = LocalizationView(NOTICE_ID, "skymap", None, None, None, None, place)
    plain = EventView(
        f"{mission}:{event_id}", mission, event_id, (), Messenger.EM, NOW - timedelta(hours=hours), EventState.ACTIVE,
        AlertTense.CURRENT, 1, None, None, {}, True, None, None, 1, 0, where,
    )  # fmt: skip
    return replace(plain, **more)


EVENTS = (
    event("SVOM", "sb26071503", 0.6, (118.204, 22.617, 0.13, 0.031), instrument="ECLAIRs",
          notice_type="SVOM_ECLAIRS_WAKEUP", event_names=("GRB 260715C",), n_open_coincidences=1),
    event("LVK", "S260715k", 2.3, 1264.0, messenger=Messenger.GW, instrument="LVK", notice_type="LVK_PRELIMINARY",
          far_hz=2.1e-10, p_astro=0.99991, classification={"BNS": 0.91, "NSBH": 0.08}, revision=3,
          n_open_coincidences=4),
    event("Fermi", "805781402", 2.3005, (213.71, 61.44, 4.86, 103.2), instrument="GBM", far_hz=6.3e-7,
          notice_type="FERMI_GBM_FLT_POS", event_names=("bn260715312",), classification={"GRB": 0.96}, revision=4,
          n_open_coincidences=2),
    event("IceCube", "141007_41377235", 7.9, (77.358, 5.693, 0.71, 0.85), messenger=Messenger.NEUTRINO,
          instrument="IC86", notice_type="ICECUBE_ASTROTRACK_GOLD", far_hz=1.27e-8, p_astro=0.56, revision=2,
          event_names=("IceCube-260715A",), n_open_coincidences=1),
    event("Fermi", "805761177", 7.95, (266.1, -28.3, 9.2, 371.0), instrument="GBM", notice_type="FERMI_GBM_FIN_POS",
          is_astrophysical_burst=False, event_names=("bn260715078",)),
    event("KM3NeT", "17", 13.2, (341.2, -62.9, 1.9, 8.1), messenger=Messenger.NEUTRINO, instrument="KM3NeT",
          notice_type="KM3NET_ALERT", far_hz=3.2e-6),
    event("LVK", "MS260714x", 21.0, 24_700.0, messenger=Messenger.GW, instrument="LVK", notice_type="LVK_EARLY_WARNING",
          alert_tense=AlertTense.TEST, far_hz=9.1e-6, p_astro=0.07, classification={"Terrestrial": 0.93}),
    event("Swift", "1391204", 26.4, (356.8, 41.9, 0.05, 0.0068), instrument="XRT", notice_type="SWIFT_XRT_POSITION",
          event_names=("GRB 260714A",), revision=5),
    event("AGILE", "20260713T202144", 61.0, None, instrument="MCAL", notice_type="AGILE_MCAL_ALERT"),
    event("Fermi", "805544021", 90.0, (12.4, -71.3, 16.4, 1180.0), instrument="GBM", notice_type="FERMI_GBM_RETRACTION",
          state=EventState.RETRACTED, revision=2, event_names=(HOSTILE,)),
)  # fmt: skip


def target(rank: int, survey: Survey, name: str, place: tuple[float, float], score: float, **more: Any) -> TargetView:
    """Return a target whose two terms sum to its score."""
    terms = (
        Term("position", score - 1.25, {"probability_density_sr": 41.87, "localization_notice_id": NOTICE_ID}),
        Term("delay", 1.25, {"delta_t_s": 8211.0, "window_start_s": -86400.0, "window_stop_s": 604800.0}),
    )
    plain = TargetView(
        rank, name, survey, name, *place, score, terms, None, None, "SN Ia", 0.912, 19.31, None, None
    )  # fmt: skip
    return replace(plain, **more)


def listed(case: ScienceCase, version: int, n_targets: int, *targets: TargetView) -> ListView:
    return ListView(ListSummaryView(f"{case}:{version}", case, version, "0" * 16, n_targets, True), targets)


LISTS = (
    listed(ScienceCase.GRB, 12, 3,
           target(1, Survey.ZTF, "ZTF26aaqzkfd", (213.0427, 60.9052), 11.82, event_key="Fermi:805781402",
                  event_state=EventState.ACTIVE, p_chance=3.1e-4, joint_far_hz=2.6e-10, top_class="AGN"),
           target(2, Survey.LSST, "170032882292654128", (118.2071, 22.6093), 6.4, event_key="SVOM:sb26071503",
                  event_state=EventState.ACTIVE, p_chance=0.021, joint_far_hz=3.1e-8, top_class=None,
                  class_probability=None, latest_mag=22.874),
           target(3, Survey.ZTF, "ZTF26aaqmmno", (12.9, -70.81), -0.31, event_key="Fermi:805544021",
                  event_state=EventState.RETRACTED, p_chance=0.78, joint_far_hz=5.9e-7, top_class="CV")),
    listed(ScienceCase.GW, 3, 87, *(
        target(k + 1, Survey.LSST, str(170032882292654000 + 37 * k), (196.2 + 1.3 * k, -22.9 - 0.7 * k), 8.1 - 0.4 * k,
               event_key="LVK:S260715k", event_state=EventState.ACTIVE, p_chance=0.004 * (k + 1),
               joint_far_hz=1.1e-9 * (k + 1), top_class="SN CC" if k % 3 else "SN Ia", class_probability=0.9 - k / 20,
               latest_mag=20.41 + 0.17 * k) for k in range(4))),
    listed(ScienceCase.NEUTRINO, 2, 0),
    listed(ScienceCase.SUPERNOVA, 31, 412, *(
        target(k + 1, Survey.ZTF, f"ZTF26aap{'bcdfghjkmn'[k]}vxr", (25.0 + 31.7 * k, 71.0 - 13.1 * k), 4.92 - 0.21 * k,
               latest_mag=17.02 + 0.2 * k, class_probability=0.995 - 0.01 * k) for k in range(10))),
    listed(ScienceCase.UNKNOWN, 9, 1,
           target(1, Survey.ZTF, HOSTILE, (301.2, -11.4), 2.07, top_class=HOSTILE, class_probability=0.23)),
)  # fmt: skip


def pair(object_key: str, event_key: str, delta_t_s: float, level: float) -> CoincidenceView:
    return CoincidenceView(
        object_key, event_key, delta_t_s, level, 0.61, 0.0003, 2.6e-10, 11.8, (), CoincidenceState.OPEN, 1
    )


def seen(name: str) -> ObjectView:
    return ObjectView(
        f"ztf:{name}",
        Survey.ZTF,
        name,
        213.04,
        60.9,
        3 * 10**18,
        61234.1,
        61236.4,
        19.6,
        "r",
        None,
        None,
        None,
        19.31,
        "g",
        "AGN",
        0.9,
    )


def first_notice(told: EventView) -> Notice:
    """Return a notice that says of time and place what an event does; a sky map becomes a circle."""
    where = told.localization
    ra, dec, radius = (None, None, None) if where is None else (where.ra_deg, where.dec_deg, where.error_radius_deg)
    return Notice(
        notice_id=told.event_key, mission=told.mission, instrument="", messenger=told.messenger, notice_type="",
        alert_type=AlertType.INITIAL, alert_tense=told.alert_tense, event_id=told.event_id, event_names=(),
        record_number=None, trigger_time=told.trigger_time, alert_time=told.trigger_time,
        localization=None if where is None else Circle(ra or 0.0, dec or 0.0, radius or 1.0),
    )  # fmt: skip


NIGHT = FakeGraph(
    objects=(seen("ZTF26aaqzkfd"), seen("ZTF26aaqzabc")),
    events=EVENTS,
    coincidences=(
        pair("ztf:ZTF26aaqzkfd", "Fermi:805781402", 8211.0, 0.31),
        pair("ztf:ZTF26aaqzabc", "Fermi:805781402", -30.0, 0.874),
    ),
    lists=LISTS,
    whole_notices={told.event_key: (first_notice(told),) for told in EVENTS},
    coincidence_counts=CoincidenceCounts(8, 3, 1),
)

TEXT = "document.body.innerText"
ROWS = "[...document.querySelectorAll({0!r})].map((row) => [...row.children].map((cell) => cell.innerText))"
TOO_WIDE = """[...document.querySelectorAll("body *")].filter((one) => {
  const {right, left} = one.getBoundingClientRect();
  const isCut = one.clientWidth > 1 && one.scrollWidth > one.clientWidth + 1;
  return !one.matches(".skip") && (isCut || right > document.documentElement.clientWidth + 0.5 || left < 0);
}).map((one) => `${one.tagName}.${one.className}: ${one.textContent.slice(0, 40)}`)"""


def painted(page: Any, colour: str) -> int:
    """Return the number of pixels of the map in a colour of the palette."""
    counted: int = page.run(f"""(() => {{
      const wanted = getComputedStyle(document.documentElement).getPropertyValue({colour!r}).trim();
      const [r, g, b] = [1, 3, 5].map((k) => parseInt(wanted.slice(k, k + 2), 16));
      const canvas = document.getElementById("sky");
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {{ willReadFrequently: true }});
      copy.drawImage(canvas, 0, 0);
      const {{ data }} = copy.getImageData(0, 0, canvas.width, canvas.height);
      let n = 0;
      for (let k = 0; k < data.length; k += 4) n += data[k] === r && data[k + 1] === g && data[k + 2] === b;
      return n;
    }})()""")
    return counted


def test_lists_show_what_the_reader_holds(show: Show) -> None:
    page = show(FakeReader(NIGHT))
    headings = page.run("[...document.querySelectorAll('h3')].map((one) => one.firstChild.textContent)")
    assert headings == ["Gamma-ray bursts", "Gravitational waves", "Neutrinos", "Supernovae", "Unknown"]
    rows = page.run(ROWS.format("#list-tables tbody tr"))
    assert len(rows) == sum(len(one.targets) for one in LISTS)
    rank, name, position, kind, mag, chance, event_name, score = rows[0]
    assert (rank, mag) == ("1", "19.31")
    assert name.split() == ["ZTF26aaqzkfd", "ZTF"]
    assert position.split("\n") == ["14:12:10.25 +60:54:18.7", "213.04270°, +60.90520°"]
    assert kind.split("\n") == ["AGN", "91.2 %"]
    assert chance.split("\n") == ["3.1×10⁻⁴", "1 per 120 yr"]
    assert event_name == "Fermi:805781402"
    assert score.split("\n") == ["11.82", "position 10.57 + delay 1.25"]
    assert rows[2][-1].split("\n") == ["−0.31", "position −1.56 + delay 1.25"]
    assert "retracted" in rows[2][-2]
    assert len(rows[7]) == 6, "a list without events has no columns for them"
    assert page.run("document.querySelector('tbody a').getAttribute('href')") == "/api/v1/objects/ztf/ZTF26aaqzkfd"
    assert "first 4 of 87 targets" in page.run(TEXT)
    assert page.run("document.getElementById('totals').innerText") == "2 objects, 10 events, 8 open coincidences"


def test_events_and_their_pairs_are_shown(show: Show) -> None:
    page = show(FakeReader(NIGHT))
    rows = page.run(ROWS.format("#event-table tbody tr"))
    assert len(rows) == len(EVENTS)
    trigger = EVENTS[1].trigger_time
    assert trigger is not None
    assert rows[1][0].split("\n") == ["LVK S260715k", "GW · LVK_PRELIMINARY"]
    assert rows[1][1].split("\n")[0] == trigger.strftime("%Y-%m-%d %H:%M:%S")
    assert rows[1][3:5] == ["sky map", "1,260 deg²"]
    assert rows[1][5].split("\n") == ["FAR 1 per 150 yr", "astrophysical >99.9 %", "BNS 91 %"]
    assert rows[2][4].split("\n") == ["103 deg²", "± 4.9°"]
    assert "test" in rows[6][2]
    assert rows[8][3:] == ["time only", "–", "–", "none"]
    page.run("document.querySelector('[data-event=\"Fermi:805781402\"] summary').click()")
    page.wait_for("document.querySelectorAll('ul.pairs li').length === 2")
    pairs = page.run("[...document.querySelectorAll('ul.pairs li')].map((one) => one.innerText.split('\\n'))")
    assert pairs[0] == ["ZTF26aaqzkfd", "+2.28 h, level 0.31, 1 per 120 yr"]


def test_who_looked_at_an_event_is_asked_for_when_it_is_opened(show: Show) -> None:
    reader = FakeReader(NIGHT)
    page = show(reader)
    assert not [call for call in reader.calls if call[0] == "notices"]
    page.run("document.querySelector('[data-event=\"Swift:1391204\"][data-more=visits] summary').click()")
    page.wait_for("document.querySelectorAll('ul.pairs li').length === 2")
    told = page.run("[...document.querySelectorAll('ul.pairs li')].map((one) => one.innerText.split('\\n'))")
    assert told[0] == ["of 99 % of the probability: depth is 5 sigma, AB"]
    assert told[1] == ["ZTF r 20.41", "+7 d, covers 99 %"]


def test_opened_terms_name_their_inputs_and_stay_open(show: Show) -> None:
    reader = FakeReader(NIGHT)
    page = show(reader)
    page.run("document.querySelector('#list-tables summary').click()")
    assert "probability_density_sr 41.87" in page.run("document.querySelector('dl.terms').innerText")
    reader.retract("SVOM:sb26071503")
    page.next_round()
    page.wait_for("document.querySelector('#list-tables').innerText.match(/retracted/g).length === 2")
    assert page.run("document.querySelector('#list-tables details').open") is True


def test_a_retraction_reaches_the_open_page(show: Show) -> None:
    reader = FakeReader(NIGHT)
    page = show(reader)
    before = painted(page, "--event")
    reader.retract("Fermi:805781402")
    page.next_round()
    page.wait_for("document.querySelectorAll('#event-table .badge.retracted').length === 2")
    page.wait_for("document.querySelectorAll('#list-tables tr.gone').length === 2")
    page.wait_for("Boolean(document.querySelector('.newest .gone'))")
    assert painted(page, "--event") < before


class Bus:
    """A bus that tells what it is given."""

    is_caught_up = True

    def __init__(self) -> None:
        self.waiting: queue.Queue[News] = queue.Queue()

    def poll(self, timeout_s: float) -> list[News]:
        try:
            return [self.waiting.get(timeout=timeout_s / 10)]
        except queue.Empty:
            return []

    def close(self) -> None: ...


def test_an_open_page_is_told_of_a_retraction(show: Show) -> None:
    reader, bus = FakeReader(NIGHT), Bus()
    hub = NewsHub(lambda: bus, 5)
    hub.start()
    hub.wait_ready(10.0)
    try:
        page = show(reader, news=hub)
        wait_end = time.monotonic() + 20.0
        while not hub._readers:
            assert time.monotonic() < wait_end, "the page never listened"
            time.sleep(0.02)
        # From now on the page looks only when it is told to.
        page.run(
            "void (() => { const real = setTimeout; window.setTimeout = (call, wait) => wait > 1000 ? 0 : "
            "real(call, wait); for (let k = real(() => {}, 0); k > 0; k -= 1) clearTimeout(k); })()"
        )
        reader.retract("Fermi:805781402")
        bus.waiting.put(News(RETRACTIONS, 0, 0, b'{"event_key": "Fermi:805781402"}'))
        page.wait_for("document.querySelectorAll('#event-table .badge.retracted').length === 2")
        page.wait_for("document.querySelectorAll('#list-tables tr.gone').length === 2")
    finally:
        hub.stop()


def test_hostile_text_is_shown_and_never_run(show: Show) -> None:
    page = show(FakeReader(NIGHT))
    assert page.run(TEXT).count(HOSTILE) == 3, "an object, its class, an event"
    assert page.run("window.run ?? null") is None
    assert page.run("document.querySelectorAll('script').length") == 1
    assert page.run("document.querySelectorAll('main img, main iframe, main style').length") == 0
    own = page.run("location.origin")
    assert all(url.startswith(own) for url in page.requests), "nothing is asked of anybody else"


def test_the_browser_would_tell_of_foreign_code(show: Show) -> None:
    page = show(FakeReader(NIGHT))
    for tag, setting in (("script", "textContent = 'window.run = 3'"), ("img", "src = 'https://example.org/x.png'")):
        page.run(
            f"void (() => {{ const one = document.createElement('{tag}'); "
            f"one.{setting}; document.body.append(one) }})()"
        )
    page.run("void console.error('said')")
    assert page.run("window.run ?? null") is None
    kinds = ("script-src 'self'", "img-src 'self'", "said")
    assert all(any(kind in one for one in page.troubles) for kind in kinds), page.troubles
    page.troubles.clear()


def test_the_map_shows_events_and_targets(show: Show) -> None:
    page = show(FakeReader(NIGHT))
    assert painted(page, "--event") > 200
    assert painted(page, "--target") > 200
    assert "7 events and 18 targets" in page.run("document.getElementById('sky').ariaLabel")
    assert "Not drawn: 3 events" in page.run(TEXT)


def test_an_empty_graph_says_what_to_do(show: Show) -> None:
    page = show(FakeReader(FakeGraph()))
    commands = page.run("[...document.querySelectorAll('.empty code')].map((one) => one.innerText)")
    assert commands == ["heliograph coordinate", "heliograph demo", "heliograph listen", "heliograph demo"]
    assert painted(page, "--event") == 0
    assert "Not drawn" not in page.run(TEXT)


def test_a_graph_that_is_gone_is_said_and_forgotten_when_it_is_back(show: Show) -> None:
    reader = FakeReader(NIGHT)
    page = show(reader)
    reader.failure = StoreError("The graph cannot be reached.")
    page.next_round()
    page.wait_for("!document.getElementById('problem').hidden")
    said = page.run("document.getElementById('problem').innerText")
    assert said.startswith("The graph cannot be reached. What is shown is of ")
    assert len(page.run(ROWS.format("#event-table tbody tr"))) == len(EVENTS), "what was shown stays"
    reader.failure = None
    page.next_round()
    page.wait_for("document.getElementById('problem').hidden")
    assert [one for one in page.troubles if "503" not in one] == []
    page.troubles.clear()


@pytest.mark.parametrize("width", [320, 390, 820, 1280, 1400, 1920])
def test_nothing_is_cut_off(show: Show, width: int) -> None:
    page = show(FakeReader(NIGHT), width, 844)
    page.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.wait_for("document.querySelectorAll('ul.pairs').length === 13")
    assert page.run("document.documentElement.scrollWidth") == width
    assert page.run(TOO_WIDE) == []
    assert struct.unpack(">II", page.screenshot()[16:24]) == (width, 844)


def test_red_light_is_red_and_is_remembered(show: Show) -> None:
    page = show(FakeReader(NIGHT))
    try:
        page.run("document.getElementById('theme').click()")
        colours = page.run(
            "[...document.querySelectorAll('body, body *')].flatMap((one) => "
            "['color', 'backgroundColor'].map((name) => getComputedStyle(one)[name].match(/[\\d.]+/g).map(Number)))"
        )
        assert all(red >= 2.9 * max(green, blue) for red, green, blue, *opacity in colours if opacity != [0])
        page.run("window.isOld = true; void location.reload()")
        page.wait_for("!window.isOld && document.documentElement?.dataset.theme === 'red'")
        page.wait_for("document.getElementById('theme')?.ariaPressed === 'true'")
    finally:
        page.run("localStorage.clear()")
