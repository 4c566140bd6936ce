"""What providers tell by themselves: their webhooks, received.

event     what an event says of a job, and what is known of each provider's webhooks
signing   whether somebody who has the secret sent it
receiver  the endpoint: bounded, acknowledged at once, told to whoever listens
dedup     which events came already
inbox     keeps events for all runs on this machine (`batchcap listen`)
inbox_reader  a run reads that inbox

An event only ever saves a question. Whatever is lost, late, doubled or forged, the poller
asks all the same, and the ledger is written by the same hand.

Nothing is imported here: a run without an endpoint loads no server.
"""
