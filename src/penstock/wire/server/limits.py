"""What a server takes from one client: all that a client can make large, slow or many has a bound here."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ...errors import UsageError


@dataclass(frozen=True)
class ServerLimits:
    """Times are in seconds and kept to about one second; None means no bound.

    Raises UsageError for a bound that is not above zero.
    """

    header_timeout: float = 10.0
    """From the first byte of a head until it is complete."""
    idle_timeout: float = 60.0
    """Without a request, for a new connection too."""
    body_timeout: float = 30.0
    """Without a byte of a request body that is waited for."""
    min_body_rate: float | None = 500.0
    """Bytes a second of a request body that is waited for; see BodyRate."""
    body_grace: float = 20.0
    """What a body may be behind `min_body_rate`."""
    send_timeout: float = 30.0
    """Without progress of the answer, as far as it can be seen: the kernel takes up more when a good part is free."""
    linger_timeout: float = 5.0
    """From the end of a last answer until the client must have closed."""
    max_connections: int | None = 10_000
    max_connections_per_address: int | None = 1_000
    """Behind another proxy all connections are of one address: then None."""
    max_requests_per_connection: int | None = None
    max_line_bytes: int = 8 * 1024
    """Of the request line and of one field."""
    max_head_bytes: int = 64 * 1024
    max_fields: int = 100
    max_trailer_bytes: int = 8 * 1024
    max_held_bytes: int = 64 * 1024
    """Of a body or of further requests that nobody takes yet; above it the client is not read from."""
    max_dropped_bytes: int = 64 * 1024
    """Of a body that is left after the answer and read only to keep the connection."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and (math.isnan(value) or value <= 0):
                raise UsageError(f"{field.name} must be above 0, not {value!r}")
