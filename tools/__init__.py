"""Tools that build and check the book; the package does not need them."""
