"""Telegram: one bot of the Bot API per connector. The edge imports `receiving` only."""
