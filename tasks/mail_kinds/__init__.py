"""The kinds of e-mail: one module for each, and the registry of all."""
