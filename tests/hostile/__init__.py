"""Clients that break the rules: what the edge answers them, and that nobody else notices."""
