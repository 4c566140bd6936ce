"""The webhooks that the sandbox sends for both providers."""
