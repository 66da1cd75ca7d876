"""Many calls out: the engine, what feeds it, and what keeps its results."""
