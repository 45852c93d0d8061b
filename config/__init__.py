"""The service's settings."""
