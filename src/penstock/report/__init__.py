"""What a run looked like: read from its folder, put into words, and drawn as one page or one picture."""
