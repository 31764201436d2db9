"""Entry point of `make kubernetes`: write the generated manifests."""

from __future__ import annotations

from deploy.kubernetes.documents import BASE, documents


def main() -> None:
    """Write what has changed, and say so."""
    for name, text in documents().items():
        path = BASE / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")


if __name__ == "__main__":
    main()
