"""The programs: what each is told, and what it does."""
