"""Use cases: what the commands do, without the command line.

verify   compares every file with the ledger
audit    compares the ledger with the provider's list of jobs
rebuild  fills a new ledger from manifest, files and provider
"""
