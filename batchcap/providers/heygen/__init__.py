"""HeyGen: captions of video translations that exist already; nothing is created.

spec.py      what is declared about it: columns, rates, secrets, options
provider.py  the `Provider`: chooses the API version, polls, links
translation_list.py  the account's list, for a manifest
v3.py        requests and answers of v3, HeyGen's current API
v2.py        requests and answers of v2, until it is retired
schema.py    the fields and status words of all versions, and what they mean
webhooks.py  signatures and events
"""
