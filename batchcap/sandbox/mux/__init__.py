"""Mux as the sandbox plays it: Robots v0, assets of the Video API, text tracks, VTT links."""
