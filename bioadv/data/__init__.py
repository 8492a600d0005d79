"""Images by name, and files that are whole or absent."""
