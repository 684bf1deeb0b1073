"""Floor 2: where the state is kept."""
