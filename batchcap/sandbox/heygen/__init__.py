"""HeyGen, as the sandbox imitates it.

heygen_api  HEYGEN_API_BASE: credentials, errors, the routes of v3 and v2
create_api  creates of v3, alone and in batches; `create_request` validates them
translations  what was created, and the responses that an Idempotency-Key repeats
videos      translations and their status
cdn_host    caption links
"""
