"""Objects of both surveys at one place, on a real Neo4j."""

from __future__ import annotations

import numpy as np

from compose.association import associate_all
from compose.testing import Installation
from graph.alert_store import AlertRows, AlertStore, MatchRows
from graph.association import Associator, cells_about
from graph.model import Survey
from graph.reader import GraphReader
from graph.sky import ang2pix
from ingest.rows import classification_rows

NO_MATCHES = MatchRows(*(np.array([], dtype=kind) for kind in (np.int64, object, object, object, *(float,) * 8)))
ARCSEC = 1.0 / 3600.0


def put(installation: Installation, survey: Survey, name: str, number: int, place: tuple[float, float]) -> None:
    """Load one detection as the stream does; of its object the newest place stands."""
    ra, dec = np.array([place[0]]), np.array([place[1]])
    mjd = 60_000.0 + number
    one = np.array([1.0])
    rows = AlertRows(
        survey, np.array([name], object), np.array([number]), np.array(["test/0/0"], object), ra, dec, ang2pix(ra, dec),
        mjd * one, 60_000.0 * one, 23.9 * one, np.array(["r"], object), 59_999.0 * one, 24.5 * one,
        np.array(["r"], object), np.array([number]), np.array(["r"], object), 1000.0 * one,
        10.0 * one, 23.9 * one, 0.9 * one, np.array([""], object),
        *(np.nan * one for _ in range(4)),
    )  # fmt: skip
    AlertStore(installation.connection).write(rows, NO_MATCHES, classification_rows(()))


def links(installation: Installation) -> dict[tuple[str, str], float]:
    with GraphReader.open(installation.settings.graph) as reader:
        text = "MATCH (a:Object)-[s:SAME_AS]->(b:Object) RETURN a.object_id, b.object_id, s.probability"
        return {(row[0], row[1]): float(row[2]) for row in reader.read_query(text, {}, 10.0, 100).rows}


def test_objects_of_both_surveys_are_linked_and_their_light_curves_joined(installation: Installation) -> None:
    put(installation, Survey.ZTF, "ZTF24a", 1, (150.0, 2.0))
    put(installation, Survey.ZTF, "ZTF24b", 2, (200.0, -30.0))
    put(installation, Survey.LSST, "77", 3, (150.0 + 0.2 * ARCSEC, 2.0))
    put(installation, Survey.LSST, "78", 4, (200.0, -30.0 + 6.0 * ARCSEC))
    assert sum(len(found) for found in associate_all(installation.connection)) == 1
    found = links(installation)
    assert set(found) == {("ZTF24a", "77")}
    assert found["ZTF24a", "77"] > 0.99
    with GraphReader.open(installation.settings.graph) as reader:
        assert [one.detection_id for one in reader.joint_detections(Survey.ZTF, "ZTF24a", 10)] == [1, 3]
        assert [one.detection_id for one in reader.joint_detections(Survey.LSST, "77", 10)] == [1, 3]
        assert [one.detection_id for one in reader.joint_detections(Survey.ZTF, "ZTF24b", 10)] == [2]
        (same,) = reader.same_objects(Survey.LSST, "77")
        assert (same.survey, same.object_id) == (Survey.ZTF, "ZTF24a")

    # A nearer one takes its place.
    put(installation, Survey.LSST, "77", 5, (150.0 + 1.5 * ARCSEC, 2.0))
    put(installation, Survey.LSST, "79", 6, (150.0, 2.0 + 0.1 * ARCSEC))
    associator = Associator(installation.connection)
    (cell,) = cells_about(np.array([150.0]), np.array([2.0])).tolist()
    assert len(associator.associate(cell)) == 2
    found = links(installation)
    assert set(found) == {("ZTF24a", "79")}
    with GraphReader.open(installation.settings.graph) as reader:
        assert [one.detection_id for one in reader.joint_detections(Survey.ZTF, "ZTF24a", 10)] == [1, 6]
    associator.associate(cell)
    assert links(installation) == found
