"""Mux, as the sandbox imitates it.

mux_host        MUX_BASE_URL: credentials, errors, routes, assets
robots_api      the handlers of the Robots v0 routes
create_request  validates the body of a create
job_outcomes    draws how a new job will end
jobs            jobs and the text tracks that they upload
assets          assets and the text tracks that they start with
stream_host     MUX_STREAM_BASE_URL: text tracks by playback id
storage_host    temporary VTT links
"""
