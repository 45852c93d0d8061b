"""The Payment Link Service."""
