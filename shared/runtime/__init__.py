"""How a process starts, tells about itself, and stops: settings, logging, metrics, life cycle."""
