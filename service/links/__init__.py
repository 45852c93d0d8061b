"""Payment links: create, read, verify, revoke, list, and dispatch windows of scheduled ones."""
