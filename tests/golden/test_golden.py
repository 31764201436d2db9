"""Everything that was ever stored can still be read, and is still written the same way."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.events import codec
from libs.events.envelope import Envelope
from libs.events.messages import EVENTS, MESSAGES
from libs.events.registry import Message
from libs.events.stored import envelope_of
from tests.golden import files
from tests.golden.files import FOLDER, Golden, path_of
from tests.support import examples

VERSIONS = [(message, version) for message in MESSAGES for version in range(1, message.version + 1)]
EXAMPLES = {type(example): example for example in examples.EXAMPLES}


def expected_of(message: Message) -> Envelope:
    """Return the example of a message in its envelope."""
    return examples.envelope_of(EXAMPLES[message.shape])


@pytest.mark.parametrize("message, version", VERSIONS, ids=lambda each: getattr(each, "name", each))
def test_every_version_of_every_message_has_a_file(message: Message, version: int) -> None:
    """A message without one: `python -m tests.golden.files`, then look at the diff."""
    assert path_of(name=message.name, version=version).exists()


def test_every_file_belongs_to_a_message() -> None:
    """A name or version that was stored is never forgotten."""
    known = {path_of(name=message.name, version=version) for message, version in VERSIONS}
    assert known == set(FOLDER.glob("*.json"))


@pytest.mark.parametrize("message, version", VERSIONS, ids=lambda each: getattr(each, "name", each))
def test_every_file_is_read_as_the_newest_class(message: Message, version: int) -> None:
    """Old versions through their upcasters; the newest one is the example to the last field."""
    golden = Golden.read(path_of(name=message.name, version=version))
    envelope = codec.decode(golden.headers, golden.body)
    assert type(envelope.data) is message.shape
    if version == message.version:
        assert expected_of(message) == envelope


@pytest.mark.parametrize("message", list(MESSAGES), ids=lambda message: message.name)
def test_the_newest_version_is_written_as_in_its_file(message: Message) -> None:
    """The same headers in the same order, the same bytes, the same text of the whole file."""
    path = path_of(name=message.name, version=message.version)
    golden = Golden.read(path)
    envelope = codec.decode(golden.headers, golden.body)
    figures = codec.figures_of(dict(golden.headers))
    assert (golden.headers, golden.body) == codec.encode(envelope, figures=figures)
    assert path.read_text(encoding="utf-8") == Golden.of(expected_of(message)).text()


@pytest.mark.parametrize("message", EVENTS, ids=lambda message: message.name)
def test_a_row_of_the_log_is_read_as_the_event_it_was(message: Message) -> None:
    """From meta and data alone, as gaps are filled and state is rebuilt."""
    golden = Golden.read(path_of(name=message.name, version=message.version))
    expected = expected_of(message)
    assert golden.meta is not None
    assert expected.position is not None
    assert expected == envelope_of(
        source=expected.source,
        position=expected.position,
        type=message.name,
        version=message.version,
        decided_at=expected.time,
        meta=golden.meta,
        data=golden.body.decode(),
    )


def test_files_are_never_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script adds what is missing and leaves alone what is there."""
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    kept = path_of(name="ota.inventory.units_sold", version=1)
    kept.write_text("old", encoding="utf-8")
    assert len(examples.EXAMPLES) - 1 == len(files.write_missing())
    assert "old" == kept.read_text(encoding="utf-8")
    assert [] == files.write_missing()
