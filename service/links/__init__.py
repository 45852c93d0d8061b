"""Payment links: create, read, verify, revoke, list, and send by window."""
