"""What mails to customers say. ``tasks`` composes and sends them; the console previews them."""
