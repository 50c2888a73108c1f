"""Who may connect, with which password, and what each may do."""
