"""What batchcap costs, measured; README.md says how to read it.

`compare`, `download`, `scale`, `regress`   the commands, on the real clock
`simulate`, `webhooks`                      the commands on virtual time
`contenders/`                               who is measured: an explicit table, one file each
`yardstick`                                 the same work by hand, the one to be compared with
`server`, `texts`, `serving`                what they all ask, and what it serves
`workload`                                  the work of a run, and whether it was done
`rounds`, `measuring`                       every contender in turns; what a command cost
`table`, `plot`, `publishing`, `machine`    what is told of it
`options`, `screening`, `revisions`         what to run, who can, and which batchcap
"""
