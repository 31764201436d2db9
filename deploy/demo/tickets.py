"""A ticket's QR image as a stranger's scanner sees it: saved, decoded by another library."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import zxingcpp
from PIL import Image

from deploy.demo.shortening import IMAGE_PREFIX

QR_ONLY = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)


class UnreadableImage(ValueError):
    """The ticket's image is no PNG with one readable QR code; the message says why."""


def png_of(data_url: str) -> bytes:
    """Return the PNG inside a ``data:`` URL; raises UnreadableImage for anything else."""
    if not data_url.startswith(IMAGE_PREFIX):
        raise UnreadableImage(f"qr_code does not start with {IMAGE_PREFIX}")
    try:
        return base64.b64decode(data_url.removeprefix(IMAGE_PREFIX), validate=True)
    except ValueError as error:
        raise UnreadableImage(f"qr_code is not base64: {error}") from error


def save(png: bytes, *, folder: Path, name: str) -> Path:
    """Write *png* as ``<folder>/<name>.png`` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    path.write_bytes(png)
    return path


def read_qr(png: bytes) -> str:
    """Return the text of the one QR code in *png*; raises UnreadableImage."""
    try:
        with Image.open(io.BytesIO(png)) as picture:
            image = picture.convert("L")
    except OSError as error:
        raise UnreadableImage(f"the image does not open: {error}") from error
    codes = zxingcpp.read_barcodes(image, formats=QR_ONLY)
    if len(codes) != 1:
        raise UnreadableImage(f"the image holds {len(codes)} readable QR codes, not one")
    return codes[0].text
