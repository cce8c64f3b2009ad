"""Every failed answer becomes the exception that says what it means."""

import json

import pytest

from springtide import client
from springtide.client import ApiError, error_from_response


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", client.BadRequest),
        (401, "Unauthorized", client.Unauthorized),
        (403, "Forbidden", client.Forbidden),
        (404, "NotFound", client.NotFound),
        (405, "MethodNotAllowed", client.MethodNotAllowed),
        (409, "Conflict", client.Conflict),
        (409, "AlreadyExists", client.AlreadyExists),
        (410, "Expired", client.Gone),
        (410, "Gone", client.Gone),
        (413, "RequestEntityTooLarge", client.TooLarge),
        (415, "UnsupportedMediaType", client.UnsupportedMediaType),
        (422, "Invalid", client.Invalid),
        (429, "TooManyRequests", client.TooManyRequests),
        (500, "InternalError", client.ServerError),
        (503, "ServiceUnavailable", client.Unavailable),
        (504, "Timeout", client.ServerError),
        (418, "Teapot", client.BadRequest),
    ],
)
def test_code_and_reason_choose_the_class(code: int, reason: str, kind: type[ApiError]) -> None:
    status = {"kind": "Status", "code": code, "reason": reason, "message": "because", "status": "Failure"}
    error = error_from_response(code, json.dumps(status).encode())
    assert type(error) is kind
    assert (error.reason, error.message, str(error)) == (reason, "because", "because")


def test_details_keep_causes_and_the_time_to_wait() -> None:
    body = b'{"kind":"Status","code":429,"details":{"retryAfterSeconds":3,"causes":[{"field":"spec.x"}]}}'
    error = error_from_response(429, body)
    assert error.retry_after_seconds == 3
    assert error.status.details is not None
    assert error.status.details.causes[0].field == "spec.x"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>\n Bad   gateway</html>", "<html> Bad gateway</html>"),
        (b"", "the server answered HTTP 502"),
        (b'{"kind":"Pod"}', '{"kind":"Pod"}'),
        (b"\xff\xfe", "��"),
    ],
)
def test_an_answer_that_is_no_status_still_says_what_came(body: bytes, message: str) -> None:
    error = error_from_response(502, body)
    assert isinstance(error, client.ServerError)
    assert error.message == message


def test_unknown_fields_of_a_status_do_no_harm() -> None:
    body = b'{"kind":"Status","code":404,"reason":"NotFound","message":"no","futureField":{"a":1}}'
    assert isinstance(error_from_response(404, body), client.NotFound)
