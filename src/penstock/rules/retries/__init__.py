"""What an ending means, and whether, when and how often to try again."""
