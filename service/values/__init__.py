"""Small types with rules: ids, e-mail addresses, money, locales, times."""
