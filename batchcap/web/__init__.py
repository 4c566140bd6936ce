"""The live page: the report of an output folder, served while a run works on it.

address   where it is served, and the token that another machine needs
access    who may read what: methods, Host, token, and the headers of every response
changes   what changed in the ledger since the last look
messages  the latest messages, encoded once for all readers
events    server-sent events: the state, then its changes
pages     the page and the caption files
spool     a document that is made once for all who ask for it
sending   at the pace of the reader
server    the server

It only reads. The ledger is its source; of a run that works in the same process, it also
shows the snapshot. This module imports nothing, so that a run without a page loads no server.
"""
