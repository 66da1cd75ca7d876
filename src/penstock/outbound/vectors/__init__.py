"""The census of a vector search: formats, request bodies, answers, the scoreboard and what it says."""
