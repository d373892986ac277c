"""WhatsApp official: Meta's Cloud API. The edge imports `receiving` only."""
