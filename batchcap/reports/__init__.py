"""What a user reads of a run.

results  results.jsonl and the summary
metrics  counts of events while a run works
export   the results as CSV and JSON
"""
