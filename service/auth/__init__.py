"""Who is calling, and whether they may: tokens, guards, and the identity provider's keys."""
