"""What the service of the demo of arms, its clients and its stage have to agree on."""

from __future__ import annotations

QUOTE, LABEL = "GET /quote", "GET /label"
CALLS = 10
USER = "x-user-id"
"""The header that says who asks."""
SUPPLIERS, DEFECT = "PENSTOCK_DEMO_SUPPLIERS", "PENSTOCK_DEMO_DEFECT"
"""Variables of the service's environment."""
