"""What each arm of a route costs and can take: the same server once an arm, load in turns, and what is said of it."""
