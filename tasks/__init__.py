"""Runs beside the web process: workers that send e-mails, and the scheduler of the scan."""
