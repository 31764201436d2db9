"""Entry point of `python -m deploy.monitoring`: writes the generated files."""

from __future__ import annotations

from deploy.monitoring.documents import CHECKOUT, generated


def main() -> None:
    """Write rules, their tests, dashboards and documentation."""
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(CHECKOUT)}")


if __name__ == "__main__":
    main()
