"""Organizations and their profiles."""
