"""Payments that organizations record for their links."""
