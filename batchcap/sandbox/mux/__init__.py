"""Mux, as the sandbox imitates it.

mux_host        MUX_BASE_URL: credentials, errors, routes, assets
robots_api      the handlers of the Robots v0 routes
create_request  validates the body of a create
create_checks   decides whether a valid create is accepted
errors          errors in Mux's formats
job_outcomes    draws how a new job will end
jobs            one job, whose status follows from the clock
job_store       all jobs, and the text tracks that they have uploaded
track_rules     which tracks are in the way of a new one
assets          assets and the text tracks that they start with
stream_host     MUX_STREAM_BASE_URL: text tracks by playback id
storage_host    temporary VTT links
"""
