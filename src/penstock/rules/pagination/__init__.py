"""How an API pages, where its rows are, and when there are no more."""
