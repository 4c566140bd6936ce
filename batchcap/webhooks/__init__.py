"""Receives the webhooks that providers send.

event         what an event says about a job, and how each provider's webhooks are read
signing       verifies signatures, and requires the signing secrets
bounded_server  limits connections, for what other machines may reach
receiver      the HTTP endpoint: bounded, acknowledges at once, calls a handler
dedup         remembers recent event ids
inbox         stores events for all runs on this machine (`batchcap listen`)
inbox_reader  reads that inbox in a run

Webhooks are an optimisation only. If events are lost, late, duplicated or forged, the poller
still finds out how every job ended, and the same code writes the ledger.

This module imports nothing, so that a run without an endpoint does not load a server.
"""
