"""From a download link to a caption on disk.

downloader  fetches, checks and stores one caption, with retries
file_host   follows a link to allowed addresses, without credentials
webvtt      whether bytes are WebVTT, and the cues that a player keeps
quality     what is wrong with cues, by the limits of caption_rules
"""
