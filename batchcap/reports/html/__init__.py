"""The report as one HTML page that needs no network, also alive while a run works.

`page` writes it in pieces. Its assets are the files in `assets/`; the data are JSON in
`<script type="application/json">` elements:

`#about`    one object: `made_at` (unix seconds), `folder` (as the user named it),
            `is_rehearsal`, `files` (the relative link to that folder with "/" at its end, "" for
            no links), `live`, `events` (their relative URL), `totals` (`Totals`), `minutes` (a
            list of [minute, source, what, count], see `MinuteCount`), `advice` (by code: a list
            of two, for errors that are not retryable and that are), `source_failures` (`count`,
            and the `first` of them), `languages` (tag, English and own name of each language,
            by what rows have), `snapshot` (or null)
`.rows`     blocks of rows, in manifest order. A block is an object of columns, all equally
            long, and `texts`. The columns `key`, `path`, `job_id`, `bytes`, `cues`,
            `started_at`, `finished_at` (unix seconds), `origin` ("file:line", of an invalid row)
            and `meta` hold values; a key or a path that is 0 is the default one. The columns
            `provider`, `source_id`, `language`, `state`, `code`, `message` and `phase` hold places
            in `texts`, -1 for null; so does `quality`, which is missing if no caption of the block
            was checked. `retryable` is 0 or 1.
`.captions` with `embed`: an object of the caption (and `source`, if there is one) by the row's
            place in the page; the element `captions-N` holds the places from N * 50 on.

A live page opens an `EventSource` of `events`. Each message is one object, which `message`
makes: `rows` (one block with the rows that changed; a row is known by its key), `totals`, `minutes`
(those that changed, with their whole counts), `snapshot`; what is null or missing stays as it is.
A row may have `phase` (`Phase`) beside the fields of results.jsonl.
"""

from batchcap.reports.html.page import content_security_policy, message, page

__all__ = ["content_security_policy", "message", "page"]
