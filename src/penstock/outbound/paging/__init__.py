"""Pages of an API: how they are asked for, read, told apart, and kept. What `pull` is made of."""
