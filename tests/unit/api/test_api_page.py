"""The page: nothing foreign, nothing unescaped, readable, and its numbers right."""

# ruff: noqa: RUF001 - the page writes real minus signs, dashes and primes

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

FILES = ("index.html", "style.css", "app.js", "view.js", "format.js", "sky.js", "mark.svg")
FOLDER = resources.files("api") / "static"


def text_of(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


class Collector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def tags() -> list[tuple[str, dict[str, str | None]]]:
    collector = Collector()
    collector.feed(text_of("index.html"))
    return collector.tags


def test_page_and_files_are_served_with_their_kinds(client: TestClient) -> None:
    kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    for name in FILES:
        answer = client.get("/" if name == "index.html" else f"/static/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].split(";")[0] == kinds[name.rpartition(".")[2]]
        assert answer.text == text_of(name)


def test_policy_allows_own_files_only(client: TestClient) -> None:
    for path in ("/", "/static/app.js", "/api/v1/events", "/api/v1/nothing"):
        headers = client.get(path).headers
        rules = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
        assert rules["default-src"] == "'none'"
        assert rules["frame-ancestors"] == "'none'"
        assert {rules[name] for name in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", FILES)
def test_nothing_comes_from_elsewhere(name: str) -> None:
    text = text_of(name).replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"(?i)\b(?:https?|wss?):|//[a-z0-9-]+\.[a-z]|@import|url\(", text)


@pytest.mark.parametrize("name", ["app.js", "view.js", "sky.js", "format.js"])
def test_data_never_becomes_markup(name: str) -> None:
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|\.srcdoc|setHTML|DOMParser"
    )
    assert not re.search(forbidden, text_of(name))


def test_page_needs_no_inline_code(tags: list[tuple[str, dict[str, str | None]]]) -> None:
    for tag, attributes in tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        assert tag != "style"
        if tag == "script":
            assert attributes["src"] == "/static/app.js"


def test_page_can_be_read_by_everyone(tags: list[tuple[str, dict[str, str | None]]]) -> None:
    names = [tag for tag, _ in tags]
    assert dict(tags)["html"]["lang"] == "en"
    assert names.count("h1") == names.count("main") == 1
    assert all("alt" in attributes for tag, attributes in tags if tag == "img")
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    for _, attributes in tags:
        wanted = attributes.get("aria-labelledby")
        assert wanted is None or wanted in ids
        target = attributes.get("href") or ""
        assert not target.startswith("#") or target[1:] in ids
    for name in set(re.findall(r'byId\("([\w-]+)"\)', text_of("app.js"))):
        assert name in ids
    roles = {attributes.get("role") for _, attributes in tags}
    assert {"status", "alert", "img"} <= roles


def luminance(colour: str) -> float:
    """WCAG 2.2 relative luminance of #rrggbb."""
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", [0, 1])
def test_contrast_is_aa_in_both_palettes(palette: int) -> None:
    block = re.findall(r":root(?:\[data-theme=\"red\"\])? \{([^}]*--ground[^}]*)\}", text_of("style.css"))[palette]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))
    assert len(colours) == 11
    for ground in ("ground", "panel"):
        for ink in ("text", "muted", "accent", "link", "good", "bad", "event", "target"):
            light, dark = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def evaluate(module: str, expression: str) -> Any:
    """Evaluate an expression of one of the page's modules, imported as ``m``."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no JavaScript engine")
    script = f"{text_of(module)}\nconsole.log(JSON.stringify({expression}));"
    done = subprocess.run(
        [node, "--input-type=module", "-"], input=script, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_numbers_are_written_as_astronomers_do() -> None:
    cases = {
        "formatRa(213.0427)": "14:12:10.25",
        "formatRa(359.9999999)": "00:00:00.00",
        "formatRa(-0.5)": "23:58:00.00",
        "formatRa(14.99999999)": "01:00:00.00",
        "formatDec(60.9052)": "+60:54:18.7",
        "formatDec(-0.5)": "−00:30:00.0",
        "formatDec(-29.99999999)": "−30:00:00.0",
        "formatDec(null)": "–",
        "formatRate(1 / (26 * 31557600))": "1 per 26 yr",
        "formatRate(1.2e-9)": "1 per 26 yr",
        "formatRate(1 / 31557600)": "1 per 1 yr",
        "formatRate(1 / (12 * 86400))": "1 per 12 d",
        "formatRate(1e-3)": "86 per d",
        "formatRate(1e-16)": "1 per 3.2×10⁸ yr",
        "formatRate(null)": "–",
        "formatRate(0)": "never",
        "formatProbability(0.91)": "91 %",
        "formatProbability(0.02)": "2 %",
        "formatProbability(2.1e-5)": "2.1×10⁻⁵",
        "formatProbability(0.99995)": ">99.9 %",
        "formatProbability(1)": "100 %",
        "formatProbability(null)": "–",
        "formatArea(45.2)": "45.2 deg²",
        "formatArea(1260)": "1,260 deg²",
        "formatArea(0.01)": "36 arcmin²",
        "formatAngle(1.4)": "1.4°",
        "formatAngle(0.05)": "3′",
        "formatAngle(0.001)": "3.6″",
        "formatDelay(88992)": "+24.7 h",
        "formatDelay(-30)": "−30 s",
        "formatTime('2020-05-24T05:03:35.700000Z')": "2020-05-24 05:03:35",
        "formatTime(null)": "–",
        "formatAge('2020-05-24T05:03:35Z', Date.parse('2020-05-24T05:04:35Z'))": "60 s ago",
        "formatMag(19.3)": "19.30",
        "formatMag(null)": "–",
        "topClass({GRB: 0.96, SGR: 0.04})": "GRB 96 %",
        "topClass({})": "",
    }
    found = evaluate("format.js", f"[{', '.join(cases)}]")
    assert dict(zip(cases, found, strict=True)) == cases


def test_sky_map_is_mollweide_with_east_to_the_left() -> None:
    import numpy as np
    from astropy.coordinates import SkyCoord

    positions = [(180.0, 0.0), (190.0, 0.0), (0.001, 0.0), (180.0, 90.0), (180.0, -90.0), (250.0, 37.0), (30.0, -72.0)]
    calls = ", ".join(f"mollweide({ra}, {dec})" for ra, dec in positions)
    circle = ", ".join(f"offset(200, 70, 25, {bearing})" for bearing in (0, 77, 180, 271))
    plane = ", ".join(f"galacticPlane({longitude})" for longitude in (0, 33, 123, 250))
    found = evaluate("sky.js", f"{{places: [{calls}], circle: [{circle}], plane: [{plane}]}}")
    centre, east, edge, north, south, *others = found["places"]
    assert (centre["x"], centre["y"]) == pytest.approx((0, 0), abs=1e-9)
    assert east["x"] < 0
    assert edge["x"] == pytest.approx(2, abs=1e-4)
    assert (north["x"], north["y"], south["y"]) == pytest.approx((0, 1, -1), abs=1e-9)
    for (ra, dec), place in zip(positions[5:], others, strict=True):
        theta = np.arcsin(place["y"])
        assert 2 * theta + np.sin(2 * theta) == pytest.approx(np.pi * np.sin(np.radians(dec)), abs=1e-6)
        assert place["x"] == pytest.approx(-2 * (ra - 180) / 180 * np.cos(theta), abs=1e-9)
    centre_of_circle = SkyCoord(200, 70, unit="deg")
    for point in found["circle"]:
        assert centre_of_circle.separation(SkyCoord(point["ra"], point["dec"], unit="deg")).deg == pytest.approx(25)
    for longitude, point in zip((0, 33, 123, 250), found["plane"], strict=True):
        on_plane = SkyCoord(longitude, 0, unit="deg", frame="galactic")
        assert on_plane.separation(SkyCoord(point["ra"], point["dec"], unit="deg").galactic).deg < 1e-3


def test_circles_run_over_the_edge_of_the_map_and_close_at_a_pole() -> None:
    held = evaluate("sky.js", "{edge: circle(2, 10, 5), pole: circle(30, 80, 15), south: circle(30, -80, 15)}")
    assert held["edge"]["corners"] == []
    ra = [point["ra"] for point in held["edge"]["edge"]]
    assert max(ra) - min(ra) == pytest.approx(2 * 5.077, abs=0.01), "360 does not follow 0 in one step"
    assert all(abs(later - earlier) < 1 for earlier, later in pairwise(ra))
    for name, dec in (("pole", 90), ("south", -90)):
        ra = [point["ra"] for point in held[name]["edge"]]
        assert abs(ra[-1] - ra[0]) == pytest.approx(360)
        assert [point["dec"] for point in held[name]["corners"]] == [dec, dec]


def test_terms_are_exact_enough_to_be_checked() -> None:
    cases = {
        "formatFixed(-0.314, 2)": "−0.31",
        "formatFixed(null, 2)": "–",
        "formatInput(61234.125)": "61234.13",
        "formatInput(-86400)": "−86400",
        "formatInput(0)": "0",
        "formatInput(3.1e-10)": "3.10×10⁻¹⁰",
        "formatInput('SN Ia')": "SN Ia",
        "formatInput('7c1f0a94d5e2b86f31aa04c9d7be5f02')": "7c1f0a94d5…",
        "formatInput(null)": "–",
    }
    assert dict(zip(cases, evaluate("format.js", f"[{', '.join(cases)}]"), strict=True)) == cases


def run_page(folder: Path, answers: dict[str, Any]) -> Any:
    """Run the page's modules on a document of plain objects, two rounds and a failed one."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no JavaScript engine")
    for name in FILES:
        if name.endswith(".js"):
            (folder / name).write_text(text_of(name), encoding="utf-8")
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    harness = (Path(__file__).parent / "page_without_a_browser.js").read_text(encoding="utf-8")
    script = f"const ANSWERS = {json.dumps(answers)};\n{harness}"
    (folder / "run.js").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [node, str(folder / "run.js")], capture_output=True, text=True, timeout=30, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def texts(outline: Any) -> list[str]:
    if isinstance(outline, str):
        return [outline]
    return [text for child in outline["children"] for text in texts(child)]


def elements(outline: Any) -> list[Any]:
    return (
        []
        if isinstance(outline, str)
        else [outline, *(one for child in outline["children"] for one in elements(child))]
    )


PATHS = (
    "/api/v1/events?limit=25",
    "/api/v1/lists",
    "/api/v1/lists/grb?limit=10",
    "/api/v1/counts",
    "/api/v1/events/Fermi%3A611989445/candidates?state=open&limit=20",
)


def test_page_shows_what_the_api_says(client: TestClient, tmp_path: Path) -> None:
    answers = {}
    for path in PATHS:
        answer = client.get(path)
        answers[path] = {"etag": answer.headers["etag"], "body": answer.json()}
    hostile = "<img src=x onerror=alert(1)>"
    answers[PATHS[0]]["body"]["items"][0]["event_names"] = [hostile]
    page = run_page(tmp_path, answers)
    assert [path for path, _ in page["firstAsked"]] == list(PATHS[:4])
    assert page["theme"] == "red"
    assert page["totals"] == "1 objects, 1 events, 2 open coincidences"
    listed, happened = texts(page["lists"]), texts(page["events"])
    for wanted in ("ZTF20abbiixp", "14:12:10.25 +60:54:18.7", "5.40", "SN Ia", "91 %", "19.30", "2 %", "1 per 1 yr"):
        assert wanted in listed, wanted
    for wanted in (
        f"Fermi {hostile}",
        "2020-05-24 05:03:35",
        "active",
        "45.2 deg²",
        "1 per 26 yr",
        "GRB 96 %",
        "1 open",
    ):
        assert wanted in happened, wanted
    assert "+24.7 h" in " ".join(happened), "the pairs of an opened event"
    titles = [one["attributes"].get("title", "") for one in elements(page["lists"])]
    assert "3.100e-8 Hz" in titles
    assert any(title.startswith("position 3.00 + delay 2.40") for title in titles)
    assert not [one for one in elements(page["events"]) if one["tag"] in {"img", "script"}]
    for one in elements(page["lists"]) + elements(page["events"]):
        assert one["attributes"].get("href", "/").startswith("/")
    assert page["second"]["asked"] == [[path, answers[path]["etag"]] for path in PATHS[:3]]
    assert page["second"]["kept"] is True, "what has not changed is not drawn again"
    assert page["second"]["wait"] == 5000
    assert page["failed"]["problem"].startswith("The graph cannot be reached.")
    assert page["failed"]["hidden"] is False
    assert page["failed"]["wait"] == 10000


def test_empty_page_says_what_to_do(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"items": [], "next_cursor": None}
    totals = {"nodes": {}, "coincidences": {"open": 0}}
    answers = {path: {"etag": path, "body": nothing} for path in PATHS[:2]} | {PATHS[3]: {"etag": "t", "body": totals}}
    page = run_page(tmp_path, answers)
    assert "heliograph listen" in texts(page["events"])
    assert "heliograph coordinate" in texts(page["lists"])
