"""The only place with drivers: Kafka, PostgreSQL, key service, object store, clock. No driver type leaves it."""
