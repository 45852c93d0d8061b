"""The rules of the service, without I/O: time and randomness are passed in."""
