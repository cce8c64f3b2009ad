"""Logs: constant messages with keys, in three forms, libraries included."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from springtide.runtime import log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_logfmt_has_time_level_source_and_message_first() -> None:
    stream = io.StringIO()
    early = log.logger("health.diagnosis")  # made before the program knows how it will log
    log.configure(stream=stream)
    early.info("pod diagnosed", key="ns/p", reason="OutOfMemory")
    early.debug("not shown")
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("time=20")
    assert line.partition(" ")[2] == (
        'level=info source=health.diagnosis event="pod diagnosed" key=ns/p reason=OutOfMemory'
    )


def test_json_carries_exceptions_as_data() -> None:
    stream = io.StringIO()
    log.configure(format="json", level="debug", stream=stream)
    log.logger("tests").error("failed", exc_info=ValueError("why"))
    record = json.loads(stream.getvalue())
    assert (record["event"], record["level"], record["source"]) == ("failed", "error", "tests")
    assert record["exception"] == "ValueError: why"


def test_libraries_log_in_the_same_form_from_warning_up() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)
    logging.getLogger("aiohttp.client").info("noise")
    logging.getLogger("aiohttp.client").warning("unclosed %s", "session")
    assert "noise" not in stream.getvalue()
    assert 'event="unclosed session"' in stream.getvalue()
    assert "source=aiohttp.client" in stream.getvalue()


def test_values_that_would_be_ambiguous_are_quoted() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)
    log.logger("tests").warning("hello", empty="", equals="a=b", lines="a\nb", quote='say "hi"', count=3)
    said = stream.getvalue().partition("event=")[2].strip()
    assert said == r"""hello empty="" equals="a=b" lines="a\nb" quote="say \"hi\"" count=3"""


@pytest.mark.parametrize(("name", "value"), [("format", "xml"), ("level", "loud")])
def test_unknown_choices_are_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"log {name} '{value}' does not exist; use one of"):
        log.configure(**{name: value})  # type: ignore[arg-type]
