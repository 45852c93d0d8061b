"""E-mails beside a link's own: reminders, receipts, and samples for an organization."""
