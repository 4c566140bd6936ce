"""What every other folder may know: no I/O, and nothing of batchcap outside of this folder.

models      rows, jobs, captions and outcomes as frozen values
errors      every error, sorted by what the engine does about it
events      what happened in a run, for display, log and report
protocols   what the engine needs of a provider, a ledger and a downloader
settings    the settings of a run
shutdown    an orderly stop
backoff     how often to retry, and how long to wait
failpoints  a crash on purpose at each step of a caption, for tests
addresses   IP addresses in the notations of URLs
quality     the kinds of findings in captions
text        words made safe to print
"""
