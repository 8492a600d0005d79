"""What chapters draw and print."""
