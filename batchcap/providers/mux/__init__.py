"""Mux Robots v0: translate-captions jobs, one for each row.

spec.py             what is declared about it: columns, rates, secrets, options
provider.py         the `Provider`: create, find, poll, link
robots_api.py       requests about jobs, assets and tracks; provider.py has the creates
schema.py           the fields of jobs and creates, and what they mean
assets.py           the tracks and playback ids of an asset, read once for many rows
asset_list.py       pages of the account's assets, and what a run would do with each
manifest_rules.py   what Mux would refuse of a record
refusals.py         why a create is refused, by what the asset has
source_tracks.py    the choice of the track to translate from
job_control.py      cancelling jobs, and deleting the tracks that they added
job_history.py      the jobs that an asset has had
signing.py          tokens for signed playback ids
webhooks.py         signatures and events
"""
