"""Routes of objects."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.deps import Limit, ObjectIdPath, Reader, SurveyPath, answer
from api.errors import problem_responses
from api.schemas.events import ObjectEventResponse, ObjectEventsResponse
from api.schemas.objects import (
    ClassificationResponse,
    DetectionResponse,
    DetectionsResponse,
    MatchResponse,
    ObjectDetailResponse,
    ObjectResponse,
    SameObjectResponse,
)

router = APIRouter(prefix="/objects", tags=["objects"], responses=problem_responses(404, 422, 503))


@router.get("/{survey}/{object_id}", response_model=ObjectDetailResponse)
def read_object(request: Request, survey: SurveyPath, object_id: ObjectIdPath, reader: Reader) -> Response:
    """Return one object with its classifications, its catalogue matches and the same object in other surveys."""
    body = ObjectDetailResponse(
        object=ObjectResponse.from_view(reader.object(survey, object_id)),
        classifications=tuple(map(ClassificationResponse.from_view, reader.classifications(survey, object_id))),
        matches=tuple(map(MatchResponse.from_view, reader.matches(survey, object_id))),
        same_as=tuple(map(SameObjectResponse.from_view, reader.same_objects(survey, object_id))),
    )
    return answer(request, body)


@router.get("/{survey}/{object_id}/detections", response_model=DetectionsResponse)
def read_detections(
    request: Request,
    survey: SurveyPath,
    object_id: ObjectIdPath,
    reader: Reader,
    limit: Limit,
    *,
    joint: Annotated[bool, Query(description="With those of the same object in other surveys.")] = False,
) -> Response:
    """Return the newest detections of an object, in order of time."""
    read = reader.joint_detections if joint else reader.detections
    found = read(survey, object_id, limit)
    return answer(request, DetectionsResponse(items=tuple(map(DetectionResponse.from_view, found))))


@router.get("/{survey}/{object_id}/events", response_model=ObjectEventsResponse)
def read_events_of_object(request: Request, survey: SurveyPath, object_id: ObjectIdPath, reader: Reader) -> Response:
    """Return the events that an object coincides with."""
    found = reader.events_of_object(survey, object_id)
    return answer(request, ObjectEventsResponse(items=tuple(map(ObjectEventResponse.from_view, found))))
