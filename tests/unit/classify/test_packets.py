from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graph.model import Survey
from ingest.alerts.decode import decode_alerts
from ingest.classifiers.forests import Classifier
from ingest.features import alert_features
from ingest.training import histories as collection
from ingest.training.examples import tabulate

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_training_reads_packets_as_the_decoder_does(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = ("ztf_packets/20181129", "ztf_packets/20200202")
    monkeypatch.setattr(collection, "ZTF_FOLDERS", folders)
    files = [path for folder in folders for path in sorted((shared_data / "alerts" / folder).glob("*.avro"))]
    columns, rejects = decode_alerts(Survey.ZTF, [path.read_bytes() for path in files])
    assert not rejects
    features = alert_features(columns)
    names = Classifier.load("coarse", Survey.ZTF).spec.features
    histories = {
        (item.object_id, round(item.midpoint_mjd_tai[-1], 5)): item
        for item in collection.ztf_packets(shared_data / "alerts")
    }
    compared = 0
    for place, key in enumerate(zip(columns.object_id, columns.midpoint_mjd_tai.round(5).tolist(), strict=True)):
        if key in histories:
            trained = tabulate([histories[key]]).features.select(names)[0]
            np.testing.assert_allclose(features.select(names)[place], trained, rtol=1e-3, atol=1e-4)
            compared += 1
    assert compared >= 10


def test_a_bright_supernova_is_one(shared_data: Path) -> None:
    files = sorted((shared_data / "alerts" / "ztf_packets" / "object_ZTF21abiuvdk").glob("*.avro"))
    columns, _ = decode_alerts(Survey.ZTF, [path.read_bytes() for path in files])
    answer = Classifier.load("coarse", Survey.ZTF).classify(columns, alert_features(columns))
    assert len(answer) == 34
    assert (answer.top_class[~answer.abstained] == "SN").mean() > 0.7
    np.testing.assert_array_equal(answer.abstained, answer.n_points < 3)
