"""How the story is told: check marks, colours only where wanted, images that a reader reads."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from deploy.demo.checks import Checks, StoryBroken
from deploy.demo.screen import RED, Screen
from deploy.demo.stack import find
from deploy.demo.tickets import UnreadableImage, png_of, read_qr, save
from deploy.local import credentials
from libs.tickets.qr import data_uri

TOKEN = "AFLEOWVHKRRQAHF6TENBIYPUAMEQ"


@pytest.fixture
def out() -> io.StringIO:
    """What was written to the screen."""
    return io.StringIO()


def screen(out: io.StringIO, *, terminal: bool = False, colour: bool = False) -> Screen:
    """Return a screen that writes to *out*."""
    return Screen(out=out, terminal=terminal, colour=colour)


def test_a_check_that_holds(out: io.StringIO) -> None:
    """It is shown with its mark and nothing else."""
    checks = Checks(screen(out))
    assert checks.equal("two is two", expected=2, actual=2)
    assert "   ✓ two is two\n" == out.getvalue()
    assert () == checks.failed


def test_a_check_that_does_not_hold(out: io.StringIO) -> None:
    """It says what was expected and what came, and is remembered."""
    checks = Checks(screen(out))
    assert not checks.equal("the total", expected=476, actual=477)
    assert ("the total: expected 476, got 477",) == checks.failed


def test_what_the_story_stands_on(out: io.StringIO) -> None:
    """A needed check that is off ends the story."""
    checks = Checks(screen(out))
    with pytest.raises(StoryBroken, match="made"):
        checks.need("the order is made", expected=201, actual=503)
    assert 1 == len(checks.failed)


def test_colour_only_when_wanted(out: io.StringIO) -> None:
    """Without colour there is no escape sequence at all."""
    screen(out).line("plain", style=RED)
    assert "plain\n" == out.getvalue()
    screen(out, colour=True).line("red", style=RED)
    assert out.getvalue().endswith("\x1b[31mred\x1b[0m\n")


def test_progress_is_redrawn_on_a_terminal_only(out: io.StringIO) -> None:
    """A file gets whole lines; on a terminal the next line starts afresh."""
    screen(out).progress("1 s")
    assert "   … 1 s\n" == out.getvalue()
    terminal = screen(out, terminal=True)
    terminal.progress("2 s")
    terminal.progress("3 s")
    terminal.line("done")
    assert out.getvalue().endswith("\r\x1b[2K   … 2 s\r\x1b[2K   … 3 s\ndone\n")


def test_an_answer_shows_status_and_headers_of_interest(out: io.StringIO) -> None:
    """Headers that say nothing in the story are left out."""
    screen(out).answer(
        status=201,
        headers={"Idempotent-Replayed": "true", "Server": "x", "Content-Type": "application/json"},
        body=b'{"a": 1}',
        elapsed_ms=12.4,
    )
    expected = '   ← 201 Created   12 ms\n     Idempotent-Replayed: true\n     {"a": 1}\n\n'
    assert expected == out.getvalue()


def test_table_columns_are_as_wide_as_their_cells(out: io.StringIO) -> None:
    """Columns line up, without blanks at the end."""
    screen(out).table(header=("a", "long name"), rows=[("wide cell", "b")])
    assert "   a          long name\n   wide cell  b\n" == out.getvalue()


def test_an_image_is_saved_and_read(tmp_path: Path) -> None:
    """The text of a drawn code comes back through another library, and the file is the PNG."""
    png = png_of(data_uri(TOKEN))
    path = save(png, folder=tmp_path / "demo", name="CODE-1")
    assert png == path.read_bytes()
    assert TOKEN == read_qr(png)


@pytest.mark.parametrize("url", ["", "https://example.com/qr.png", "data:image/png;base64,%%"])
def test_no_image(url: str) -> None:
    """Anything but a base64 PNG is refused."""
    with pytest.raises(UnreadableImage):
        png_of(url)


def test_bytes_that_are_no_image() -> None:
    """Bytes that do not open as an image are refused."""
    with pytest.raises(UnreadableImage, match="does not open"):
        read_qr(b"not a png")


def test_the_stack_is_where_the_settings_say(tmp_path: Path) -> None:
    """Addresses follow the launcher's variables; a wildcard address is reached on this machine."""
    stack = find(
        environment={
            "OTA_PARTNER_HOST": "0.0.0.0",
            "OTA_PARTNER_PORT": "18080",
            "OTA_FULFILLMENT_OPS_PORT": "19104",
            "OTA_DATA_DIR": str(tmp_path),
            "OTA_INVENTORY_READ_DSN": "postgresql://reader@host/ota_inventory",
        }
    )
    assert "http://127.0.0.1:18080" == stack.base_url
    assert "http://127.0.0.1:19104/ticket-keys" == stack.ticket_keys_url
    assert {"inventory": "postgresql://reader@host/ota_inventory"} == stack.read_dsns


def test_database_addresses_come_from_the_launcher(tmp_path: Path) -> None:
    """With the launcher's secrets there is a read-only address for each service."""
    credentials.load_or_make(file=tmp_path / "secrets.env")
    stack = find(environment={"OTA_DATA_DIR": str(tmp_path), "OTA_POSTGRES_PORT": "15433"})
    assert {"inventory", "reservation", "fulfillment"} == set(stack.read_dsns)
    for service, dsn in stack.read_dsns.items():
        assert dsn.startswith("postgresql://ota_reader:")
        assert dsn.endswith(f"@127.0.0.1:15433/ota_{service}")
