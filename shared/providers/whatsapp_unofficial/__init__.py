"""WhatsApp without Meta's API: linked-device servers (Evolution API v2, WAHA, Z-API) as three dialects of one provider."""
