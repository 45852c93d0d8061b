"""E-mails that wait in queues, under leases, and the doorbell that wakes workers."""
