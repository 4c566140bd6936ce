"""What a user reads of a run.

results  results.jsonl and the summary
metrics  counts of a run's events, for its summary
tracker, lane_progress, eta  where a run stands and when it ends, as a snapshot
prometheus  the same for Prometheus
time_line  counts of events for each minute, kept in the ledger
failure_table  the failed rows at the end of a run
advice   what to do about each error code
coverage  which source has a caption in which language
json_report, csv_report, xlsx_report, markdown_report  the formats of `batchcap report`
html     the report as a page, which can be alive
"""
