"""The dialect of Z-API."""
