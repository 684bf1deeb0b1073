"""Floor 3: the application. Accepts what is asked for, and makes the host match it."""
