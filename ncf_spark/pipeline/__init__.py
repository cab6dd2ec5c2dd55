"""What a step of a night is, and nothing of what any step does."""
