"""The cost of batchcap compared with other programs; README.md explains the tables.

`simulate`, `webhooks`       requests and time under the providers' limits, on virtual time
`network`, `cpu`, `million`  real runs of the command against a server on loopback
`regress`                    one revision against another
`competitors/`               the programs that are compared
`server/`                    both providers and their file hosts, as lean as Python gets
`workload`, `caption_text`   the work of one run, and how it is checked
`runner`, `measurement`      runs the competitors in turns; what one command cost
`result`, `bars`             what was measured, and the limits it is held to
`reporting`, `table`         the Markdown tables, also inside README.md
`options`, `machine`, `revisions`  the command line, the machine, and which batchcap
"""
