"""Reading medical files: each loads as it was meant, or yields a named reason."""
