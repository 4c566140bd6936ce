"""The webhooks that the sandbox sends for both providers.

scheduler   runs actions at their sandbox time
job_events  decides which events there are, and when
sender      sends events: faults, attempts, retries
payloads    builds the body and the signature of an event
"""
