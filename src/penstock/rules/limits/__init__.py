"""When the next send may be, under limits of one's own and those that servers tell."""
