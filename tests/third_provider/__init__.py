"""A third provider, as a contributor would add it: one folder, and one entry in `PROVIDERS`.

spec.py      what is declared: columns, rates, secrets, webhook
provider.py  the `Provider`
webhooks.py  the signature and the event
server.py    the provider's API, a small aiohttp server on loopback
__main__.py  batchcap with the entry
"""
