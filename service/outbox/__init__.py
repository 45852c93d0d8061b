"""E-mails that are owed, under leases, and the doorbell that wakes workers."""
