"""What a user reads of a run.

results  results.jsonl and the summary
metrics  counts of events while a run works
time_line  counts of events for each minute, kept in the ledger
export   the results as CSV and JSON
"""
