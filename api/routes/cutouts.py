"""The route of cutouts: small images of a detection."""

from __future__ import annotations

import zlib
from typing import Annotated, cast

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from api.cutouts import CutoutKind, CutoutSource
from api.deps import ObjectIdPath, Reader, SurveyPath, answer_bytes
from api.errors import problem_responses
from graph.errors import NotFoundError

router = APIRouter(prefix="/objects", tags=["objects"], responses=problem_responses(404, 422, 503))

DETECTIONS_SEARCHED = 100_000
"""Newest detections of an object among which one is looked for: more than a survey of ten years makes of one place."""

MAX_IMAGE_BYTES = 2**24
"""Most bytes of an image once decompressed [byte]: 2048 x 2048 floats; the surveys' have 63 x 63 or less."""

_GZIP_FRAME = 16 + zlib.MAX_WBITS
"""What zlib calls data inside gzip."""

DetectionIdPath = Annotated[
    str,
    Path(
        description="Identifier of the detection in its survey.",
        examples=["1234567890123456789"],
        pattern="^[0-9]{1,19}$",
    ),
]
KindPath = Annotated[CutoutKind, Path(description="Which of the three images.", examples=["science"])]


@router.get(
    "/{survey}/{object_id}/detections/{detection_id}/cutouts/{kind}",
    response_class=Response,
    responses={
        200: {
            "description": "The image as a FITS file.",
            "content": {"application/fits": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def read_cutout(
    request: Request,
    survey: SurveyPath,
    object_id: ObjectIdPath,
    *,
    detection_id: DetectionIdPath,
    kind: KindPath,
    reader: Reader,
) -> Response:
    """Return one of the three images around a detection, as the survey sent it."""
    source = cast("CutoutSource | None", request.app.state.cutouts)
    if source is None:
        raise NotFoundError("This service has no archive, so it has no images.")
    detections = reader.detections(survey, object_id, DETECTIONS_SEARCHED)
    found = next((one for one in detections if one.detection_id == int(detection_id)), None)
    if found is None:
        raise NotFoundError(f"The object {object_id} of {survey} has no detection {detection_id} in the graph.")
    image = source.cutout(found, kind)
    headers = {
        "Content-Disposition": f'attachment; filename="{survey.value}-{detection_id}-{kind.value}.fits"',
        "Vary": "Accept-Encoding",
    }
    content = image.content
    if image.is_gzipped and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
    elif image.is_gzipped:
        content = _unpack(content)
    return answer_bytes(request, content, image.media_type, headers)


def _unpack(content: bytes) -> bytes:
    """Undo gzip, never making more than the allowed bytes."""
    unpacker = zlib.decompressobj(_GZIP_FRAME)
    try:
        plain = unpacker.decompress(content, MAX_IMAGE_BYTES)
    except zlib.error as error:
        raise NotFoundError("The image in the archive is damaged.") from error
    if not unpacker.eof:
        raise NotFoundError("The image in the archive is damaged, or larger than allowed.")
    return plain
