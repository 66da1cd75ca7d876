"""One durable run: its folder, its journal, its sessions, and what drives an engine through them."""
