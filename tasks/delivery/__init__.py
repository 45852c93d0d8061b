"""Delivery of queued e-mails: under leases, in several sessions, held back in trouble."""
