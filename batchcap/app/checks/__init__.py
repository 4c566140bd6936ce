"""What `batchcap doctor` looks at, one file each.

diagnosis      what a check finds
installation   versions and extras
hosts          whether a host answers, and the clock
keys           whether keys are accepted
output_folder  whether files and a ledger can be written, and how much space is left
ledger         whether the ledger can be read
file_limit     how many files may be open
inbox          the webhook inbox
"""
