"""The providers of this release: one folder each, named as the connector type. Adding one adds its name here.

`<folder>.receiving` holds `RECEIVING` (what the edge imports), `<folder>.provider` holds `PROVIDER` (all the rest).
"""

from __future__ import annotations

FOLDERS: tuple[str, ...] = ("whatsapp_official", "whatsapp_unofficial", "telegram", "email", "webchat")
