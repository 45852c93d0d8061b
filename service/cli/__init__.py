"""The ``payment-links`` command."""
