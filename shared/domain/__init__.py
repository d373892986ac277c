"""The vocabulary of the system: ids, items, events, decisions. No input or output, no third-party package."""
