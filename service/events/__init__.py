"""What happened to links, when, and who did it."""
