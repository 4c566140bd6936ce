"""Options, secrets and URLs from `batchcap.toml` and from variables.

options         the key and the variable of every option
files           which files are read
lines           the line of a key in a file
tables          what a file sets
reader          what a file may hold, and what only a trusted one may
configuration   all sources in their order: flag, variable, profile, file, default
secret_sources  a secret from a file or from a command
environment     the variables, with secrets and URLs of the files
"""
