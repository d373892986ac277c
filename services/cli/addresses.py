"""Where providers reach this installation's edge, for commands that register an address or tell one."""

from __future__ import annotations

from shared.runtime.settings import Section


class EdgeSettings(Section):
    """`public_url`, or this machine's ingest port."""

    public_url: str | None = None
    ingest_port: int = 8080

    @property
    def address(self) -> str:
        """Start of every webhook address."""
        return self.public_url or f"http://127.0.0.1:{self.ingest_port}"
