"""Messages of mails and pages, amounts and times in the reader's language."""
