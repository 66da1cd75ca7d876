"""What a run knows of its secrets: which there are, where they were given, and what it is compared by without them."""
