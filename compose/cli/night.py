"""Verbs for whole nights: demo, simulate, replay."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from compose import services
from compose.cli.console import StageBars, print_json, progress_bar, set_up_logging, stderr, stdout, until_interrupted
from compose.cli.located import located_settings
from compose.cli.look import list_table
from compose.config import Settings, load_settings
from compose.feed import feed_alerts, feed_notices, feed_receptions
from compose.night import Stopwatch, run_night
from compose.stack import embedded
from graph.bus import ensure_topics
from graph.errors import HeliographError, NotFoundError
from graph.model import ScienceCase, Survey
from graph.reader import GraphReader
from graph.sender import KafkaSender
from graph.times import parse_utc
from ingest.archive.notices import NoticeArchive, Reception
from ingest.catalogue import build_catalogue
from ingest.replay import is_alert_json, iter_alert_messages, iter_notice_messages
from ingest.simulate import SimulatedNight, night_summary, send_streams, simulate_night, write_night
from ingest.simulate.catalogue import SIMULATED_CATALOGUE
from ingest.simulate.night import DEFAULT_EVENTS


class Surveys(StrEnum):
    """Whose packets a night is made of."""

    ZTF = "ztf"
    LSST = "lsst"
    BOTH = "both"


DEMO_ALERTS = {Survey.ZTF: 3000, Survey.LSST: 1000}
"""Alerts of the generated night of the demo: a minute of work on two cores."""

HEADER_BYTES = 1 << 17
"""Bytes of an Avro container in which its schema stands."""

TARGETS_SHOWN = 5
"""Targets of each list shown at the end of the demo."""


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the lists are out, with a JSON summary.")] = False,
    alerts: Annotated[
        Path | None, typer.Option(exists=True, help="Recorded packets instead of a generated night.")
    ] = None,
    notices: Annotated[
        Path | None, typer.Option(exists=True, help="Recorded notices instead of generated ones.")
    ] = None,
    catalogues: Annotated[Path | None, typer.Option(exists=True, help="Folder made by 'heliograph catalogue'.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only the JSON summary; implies --once.")] = False,
) -> None:
    """Run the main job end to end on a night of its own, then serve the page until Ctrl-C."""
    settings = load_settings()
    set_up_logging("WARNING")
    home = settings.home / "demo"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    settings = settings.model_copy(update={"home": home})
    stopwatch = Stopwatch()
    with stopwatch.stage("total"):
        if alerts is None or notices is None:
            with stopwatch.stage("simulate"), stderr.status("Generating a night"):
                night = _generate(home / "night")
            alerts, notices = alerts or night / "alerts", notices or night / "notices"
            catalogues = catalogues or night / "catalogues"
        if catalogues is not None:
            settings = settings.model_copy(
                update={"ingest": settings.ingest.model_copy(update={"catalogue_dir": catalogues.absolute()})}
            )
        with stopwatch.stage("start"), stderr.status("Starting Neo4j and Kafka"):
            stack = embedded.up(settings, detached=False)
        settings = stack.apply(settings)
        try:
            with progress_bar() as bar:
                summary = run_night(settings, alerts, notices, StageBars(bar), stopwatch)
            if not as_json:
                _show_lists(settings)
            if not (once or as_json):
                _serve_until_interrupted(settings)
        finally:
            with stopwatch.stage("stop"):
                embedded.down(settings)
    print_json(summary)
    if not summary["ledger_balanced"]:
        raise HeliographError("The ledger does not balance: see 'heliograph ledger'.")


def _generate(folder: Path) -> Path:
    """Write a generated night with its catalogue, ready for the cross-match."""
    night = simulate_night(
        seed=1,
        n_alerts_ztf=DEMO_ALERTS[Survey.ZTF],
        n_alerts_lsst=DEMO_ALERTS[Survey.LSST],
        start=datetime(2026, 11, 20, 2, tzinfo=UTC),
        duration_s=3600.0,
    )
    write_night(night, folder)
    build_catalogue("simulated", folder / "catalogue.csv", folder / "catalogues", SIMULATED_CATALOGUE)
    return folder


def _show_lists(settings: Settings) -> None:
    with GraphReader.open(settings.graph) as reader:
        for case in ScienceCase:
            try:
                stdout.print(list_table(reader.list(case, None, TARGETS_SHOWN)))
            except NotFoundError:
                stdout.print(f"{case.value}: no targets tonight")


def _serve_until_interrupted(settings: Settings) -> None:
    with until_interrupted() as stop:
        services.run_serve(
            settings, lambda url: stdout.print(f"\nThe page is at {url} until Ctrl-C.", highlight=False), stop
        )


def simulate(
    *,
    survey: Annotated[Surveys, typer.Option(help="Whose packets.")] = Surveys.ZTF,
    rate: Annotated[float, typer.Option(min=0.001, help="Alerts a second, of each survey.")] = 10.0,
    duration: Annotated[float, typer.Option(min=1, help="Length of simulated time [s].")] = 600.0,
    alerts: Annotated[
        int | None, typer.Option(min=1, help="Alerts of each survey; rate times duration when absent.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 1,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder to write to; made if it is not there.")
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Topic to send the packets to at the rate.")] = None,
    events: Annotated[int, typer.Option(min=0, help="Multi-messenger events.")] = DEFAULT_EVENTS,
    cutouts: Annotated[bool, typer.Option("--cutouts/--no-cutouts", help="With images or without.")] = True,
) -> None:
    """Make a synthetic night: packets in the survey's own schema, notices, catalogue and truth table."""
    if out is None and topic is None:
        raise typer.BadParameter("Give --out, --topic or both.")
    number = alerts or max(1, round(rate * duration))
    counts = {name: number if survey in {name.value, Surveys.BOTH.value} else 0 for name in Survey}
    try:
        night = simulate_night(
            seed=seed,
            n_alerts_ztf=counts[Survey.ZTF],
            n_alerts_lsst=counts[Survey.LSST],
            start=datetime(2026, 11, 20, 2, tzinfo=UTC),
            duration_s=duration,
            n_events=events,
            cutouts=cutouts,
        )
        summary = night_summary(night)
        if out is not None:
            with stderr.status(f"Writing a night of {sum(counts.values())} alerts"):
                write_night(night, out, packets=topic is None)
        if topic is not None:
            summary["topics"] = _send(night, topic, rate)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from error
    print_json(summary)


def _send(night: SimulatedNight, topic: str, rate: float) -> dict[str, int]:
    """Send the packets of a night to its topic, or of both surveys to one each."""
    wanted = {name: stream for name, stream in night.streams.items() if len(stream)}
    streams = {topic if len(wanted) == 1 else f"{topic}.{name.value}": stream for name, stream in wanted.items()}
    settings = located_settings()
    ensure_topics(settings.kafka, streams)
    with progress_bar() as bar:
        task = bar.add_task("alerts", total=sum(len(stream) for stream in streams.values()))
        sender = KafkaSender(settings.kafka)
        return send_streams(streams, sender, rate, on_sent=lambda done: bar.update(task, completed=done))


def is_notice(path: Path) -> bool:
    """Return whether a single file is a notice: XML, or JSON that holds no alert."""
    return path.is_file() and (
        path.suffix == ".xml" or (path.suffix == ".json" and not is_alert_json(path.read_bytes(), path))
    )


def is_packet(path: Path, payload: bytes) -> bool:
    """Return whether a file found among notices holds alerts: JSON, or Avro whose schema knows no superevent."""
    if path.suffix == ".avro":
        return b"superevent_id" not in payload[:HEADER_BYTES]
    return is_alert_json(payload, path)


def replay(
    paths: Annotated[
        list[Path] | None, typer.Argument(exists=True, help="Recorded packets or notices: files, folders, tar.gz.")
    ] = None,
    *,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Alerts a second; as fast as possible when absent.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="Times real time between the alerts' own times.")
    ] = None,
    notices_archive: Annotated[
        str | None, typer.Option(metavar="DIR", help="Archive whose notices are sent in the order of reception.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="With it: only what had been received by then, ISO 8601 UTC.")
    ] = None,
    topic: Annotated[
        list[str] | None, typer.Option(help="With it: only what came on this topic; may be given again.")
    ] = None,
) -> None:
    """Send recorded packets and notices to the topics that they came on."""
    if rate is not None and speed is not None:
        raise typer.BadParameter("Give either --rate or --speed.")
    if not paths and notices_archive is None:
        raise typer.BadParameter("Give paths, --notices-archive or both.")
    if notices_archive is None and (as_of is not None or topic):
        raise typer.BadParameter("--as-of and --topic go with --notices-archive.")
    received = () if notices_archive is None else _received(notices_archive, as_of, topic or ())
    settings = located_settings()
    services.prepare(settings).close()
    with progress_bar() as bar:
        task = bar.add_task("alerts", total=None)
        named = paths or []
        packets = (message for path in named if not is_notice(path) for message in iter_alert_messages(path))
        sent = feed_alerts(settings, packets, lambda done: bar.update(task, completed=done), rate, speed)
        found = (message for path in named for message in iter_notice_messages(path) if not is_packet(*message[1:]))
        topics = feed_notices(settings, found) + feed_receptions(settings, received)
    print_json({"alerts": sent, "notices": sum(topics.values()), "topics": dict(sorted(topics.items()))})


def _received(root: str, as_of: str | None, topics: Iterable[str]) -> Iterator[Reception]:
    """Return the notices of an archive as they were received until a time."""
    try:
        until = None if as_of is None else parse_utc(as_of)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter("--as-of is not a time of ISO 8601.") from error
    kept = NoticeArchive(root)
    if not kept.days():
        raise NotFoundError(f"The archive {root} holds no notices.")
    return kept.receptions(until, topics)
