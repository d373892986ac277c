"""Webchat: our own protocol (docs/WEBCHAT.md), from browsers and from customers' servers. The edge imports `receiving` only."""
