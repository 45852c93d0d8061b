"""What people read, in their language: texts of mails and pages, amounts, times."""
