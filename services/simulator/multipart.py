"""Writes multipart/form-data (RFC 7578)."""

from __future__ import annotations

from collections.abc import Sequence

_BOUNDARY = "simulatedboundary7MA4YWxkTrZu0gW"


def multipart(fields: Sequence[tuple[str, str]], files: Sequence[tuple[str, str, str, bytes]] = ()) -> tuple[str, bytes]:
    """Content type and body of these fields (name, text) and files (field, file name, MIME type, content)."""
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode() for name, text in fields
    ]
    for name, filename, mime_type, content in files:
        head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {mime_type}'
        parts.append(f"--{_BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n")
    return f"multipart/form-data; boundary={_BOUNDARY}", b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()
