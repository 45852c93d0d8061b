"""Readiness, heartbeats, and the state of outgoing mail."""
