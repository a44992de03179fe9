"""The route of cutouts."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.config import ApiSettings
from api.cutouts import Cutout, CutoutKind
from graph.errors import ArchiveError, NotFoundError
from graph.views import DetectionView

IMAGE = b"SIMPLE  =                    T" + bytes(2850)


class FakeCutouts:
    """Images held in memory."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, CutoutKind]] = []
        self.answer: Cutout | Exception = Cutout(IMAGE, "application/fits", is_gzipped=False)

    def cutout(self, detection: DetectionView, kind: CutoutKind) -> Cutout:
        self.asked.append((detection.detection_id, kind))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def images() -> FakeCutouts:
    return FakeCutouts()


@pytest.fixture
def imaging(reader: Any, images: FakeCutouts) -> TestClient:
    return TestClient(create_app(ApiSettings(), reader, cutouts=images), raise_server_exceptions=False)


@pytest.fixture
def path(reader: Any) -> str:
    (key, (detection, *_)) = next(iter(reader.graph.detections.items()))
    survey, object_id = key.split(":", 1)
    return f"/api/v1/objects/{survey}/{object_id}/detections/{detection.detection_id}/cutouts"


def test_an_image_is_answered_as_fits(imaging: TestClient, images: FakeCutouts, path: str) -> None:
    answer = imaging.get(f"{path}/template")
    assert (answer.status_code, answer.content) == (200, IMAGE)
    assert answer.headers["content-type"] == "application/fits"
    assert answer.headers["content-disposition"].startswith("attachment")
    detection_id = int(path.split("/")[-2])
    assert images.asked == [(detection_id, CutoutKind.TEMPLATE)]
    again = imaging.get(f"{path}/template", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_gzip_is_passed_on_to_those_who_take_it(imaging: TestClient, images: FakeCutouts, path: str) -> None:
    images.answer = Cutout(gzip.compress(IMAGE), "application/fits", is_gzipped=True)
    taken = imaging.get(f"{path}/science", headers={"Accept-Encoding": "gzip"})
    assert (taken.headers["content-encoding"], taken.content) == ("gzip", IMAGE)
    plain = imaging.get(f"{path}/science", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == IMAGE


@pytest.mark.parametrize("content", [gzip.compress(bytes(2**25)), gzip.compress(IMAGE)[:-9], b"\x1f\x8b nonsense"])
def test_a_bomb_or_a_ruin_is_not_unpacked(imaging: TestClient, images: FakeCutouts, path: str, content: bytes) -> None:
    images.answer = Cutout(content, "application/fits", is_gzipped=True)
    answer = imaging.get(f"{path}/science", headers={"Accept-Encoding": "identity"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_without_an_archive_there_are_no_images(client: TestClient, path: str) -> None:
    answer = client.get(f"{path}/science")
    assert answer.status_code == 404
    assert "no archive" in answer.json()["detail"]


def test_what_is_not_there_is_a_problem(imaging: TestClient, images: FakeCutouts, path: str) -> None:
    detection_id = path.split("/")[-2]
    assert imaging.get(f"{path.replace(detection_id, '1')}/science").status_code == 404
    assert imaging.get(f"{path.replace(detection_id, 'x1')}/science").status_code == 422
    assert imaging.get(f"{path}/other").status_code == 422
    assert imaging.get("/api/v1/objects/ztf/nobody/detections/1/cutouts/science").status_code == 404
    assert images.asked == []
    images.answer = NotFoundError("There is no such image.")
    assert imaging.get(f"{path}/science").status_code == 404
    images.answer = ArchiveError("The archive cannot be read.")
    assert imaging.get(f"{path}/science").status_code == 503
