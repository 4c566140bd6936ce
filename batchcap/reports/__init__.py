"""What a user reads of a run.

results  results.jsonl and the summary
metrics  counts of events while a run works
time_line  counts of events for each minute, kept in the ledger
advice   what to do about each error code
coverage  which source has a caption in which language
json_report, csv_report, xlsx_report, markdown_report  the formats of `batchcap report`
html     the report as a page, which can be alive
"""
