"""QR images: scanners read them, and they are small."""

from __future__ import annotations

import base64
import io
import random

import pytest
import zxingcpp
from PIL import Image

from libs.tickets.qr import data_uri, png
from libs.tickets.token import TOKEN_LENGTH


def random_tokens(count: int) -> list[str]:
    """Return texts in the form of tokens, the same ones each time."""
    source = random.Random(20251123)
    return [base64.b32encode(source.randbytes(88)).decode().rstrip("=") for _ in range(count)]


def scan(image: bytes) -> str:
    """Read a PNG as a scanner does."""
    with Image.open(io.BytesIO(image)) as picture:
        picture.load()
        found = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)
    assert len(found) == 1
    return found[0].text


def test_a_hundred_random_tokens_are_read_back() -> None:
    """A scanner reads from each image the text that went in."""
    tokens = random_tokens(100)
    assert {TOKEN_LENGTH} == {len(token) for token in tokens}
    assert tokens == [scan(png(token)) for token in tokens]


def test_a_small_blurred_picture_is_still_read() -> None:
    """A code on a phone's screen, seen by a poor camera, is read."""
    for token in random_tokens(10):
        with Image.open(io.BytesIO(png(token))) as picture:
            seen = picture.convert("L").resize((170, 170)).rotate(4, expand=True, fillcolor=255)
        assert token == zxingcpp.read_barcodes(seen, formats=zxingcpp.BarcodeFormat.QRCode)[0].text


def test_the_image_is_a_small_bilevel_png() -> None:
    """294 pixels a side (version 6), 1 bit a pixel, less than a kilobyte, with a quiet zone."""
    image = png(random_tokens(1)[0])
    assert len(image) < 1024
    with Image.open(io.BytesIO(image)) as picture:
        picture.load()
        assert ("PNG", "1", (294, 294)) == (picture.format, picture.mode, picture.size)
        assert (24, 24, 270, 270) == picture.point(lambda level: 255 - level).getbbox()


def test_an_image_is_a_function_of_its_token() -> None:
    """The same token gives the same bytes."""
    token = random_tokens(1)[0]
    assert png(token) == png(token)


def test_a_data_uri_holds_the_png() -> None:
    """The data URI is the image in base 64."""
    token = random_tokens(1)[0]
    head, _, content = data_uri(token).partition(",")
    assert (head, base64.b64decode(content)) == ("data:image/png;base64", png(token))


@pytest.mark.parametrize("text", ["", "lower", "é", "A\n"])
def test_text_outside_the_alphanumeric_set_is_refused(text: str) -> None:
    """What would need a larger code is an error."""
    with pytest.raises(ValueError, match="alphanumeric"):
        png(text)
