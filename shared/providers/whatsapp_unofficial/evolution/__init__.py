"""The dialect of Evolution API v2, as of 2.3.6."""
