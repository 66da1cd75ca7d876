"""Pure decisions: (state, now, what happened) -> decision. No await, clock, chance or I/O."""
