"""HeyGen, as the sandbox imitates it.

heygen_api  HEYGEN_API_BASE: credentials, errors, the routes of v3 and v2
videos      translations and their status
cdn_host    caption links
"""
