"""What runs beside the web: RQ workers that send e-mails, and the scheduler that finds what is due."""
