"""How many at once, and at which pace where no limit is given."""
