"""What the answer to a query says of an index."""
