"""What a run did, for people and programs.

metrics  counts of this run, from events
results  results.jsonl, the summary and the last line, from the ledger
export   the results as CSV and JSON
"""
