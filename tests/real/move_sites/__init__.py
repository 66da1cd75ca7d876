"""Apps whose routes have arms, as their users would write them."""
