"""batchcap: thousands of translated captions from Mux and HeyGen, as files.

The map of the house. A row travels through it in one direction:

====================  ==========================================================
`cli`                 argv in, exit status out; one file a verb
`assembly`            builds the objects of a run; the only file that knows all
`manifest`            CSV, JSON and JSONL into rows, checked by file and line
`ledger`              the checkpoint in SQLite: rows, facts, outcomes
`engine`              carries each row from manifest to file
`poller`              follows every outstanding job of a provider at once
`providers`           `PROVIDERS`: paths, fields and words of each API
`webhooks`            events of providers, received, and kept for all runs
`transport`           requests to an API: pace, send, classify, repeat
`sender`              what sends them: over HTTP, or to a world in memory
`first_contact`       a provider that never answers in the first minute
`http_session`        one request over aiohttp: did it leave, is it whole
`http_connector`      connections to allowed addresses, with nothing left to read
`http_errors`         what became of a request, in our own words
`decompression`       a body without its compression
`network`             proxies and certificates
`url`                 URLs as they were given
`answers`             what came back, read tolerantly
`pacing`              the budget of a bucket, and who spends it next
`circuit`             an outage, and its end
`retry`               how often and how long after a failure
`filehost`            streams what a link leads to, without credentials
`download`            from link to verified caption
`captions`            what a whole WebVTT file is
`store`               captions into the output folder, many with one sync
`folders`             what that does to the disk
`grouping`            work that is cheaper by the batch
`stopping`            an orderly stop
`hearing`             events settle jobs, where there is an endpoint or an inbox
`events`              what happened; `metrics`, `progress` and `log` read it
`report`              results.jsonl, the summary, the last line
`verification`        every file against the ledger
`rebuilding`          a ledger made anew, without creating anything
`export`              the results as CSV and JSON
`auditing`            the ledger against the provider's books
`settings`            flags and environment, checked
`descriptors`         how many files may be open, and what fits in
`interfaces`          the engine's sockets, on one page
`model`, `errors`     the nouns, and what can go wrong
`failpoints`          a crash at every boundary, on purpose
`virtual`             the loop whose clock jumps
`rehearsal`           a run of hours in seconds: the engine, providers in memory
`sandbox`             both providers over real HTTP, with faults on demand
====================  ==========================================================

Who may import whom is in `tests/test_layers.py`.
"""

__version__ = "0.1.0"
