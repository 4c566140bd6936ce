"""The use cases, one file each, and the wiring of their objects. Only this folder knows all.

run        works on a ledger until every row has ended
providers  makes providers that can be asked, each within its quota
webhooks   brings webhook events to the pollers of a run
verify     every file against the ledger
rebuild    a lost ledger from manifest, files and provider
audit      the ledger against the provider's jobs
key_check  what a provider's key may do
doctor     what is wrong with the machine, the network, keys or the folder; checks are in checks/
fd_limits  how many files may be open
"""
