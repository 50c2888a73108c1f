"""Who may connect, and what each may do. Pure: no wire, no engine."""
