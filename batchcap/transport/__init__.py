"""Requests to a provider's API.

api_client       sends a request when its quota is there, and retries what is safe to retry
rate_limiter     one bucket of a provider's quota: who may send next, and when
circuit_breaker  an outage, and its end
first_contact    a provider that never answers
retry_after      Retry-After and Date headers
response         a response, and the error in it
sender           an API's requests over HTTP
http_session     aiohttp, with each request sent at most once
http_connector   connections to allowed addresses
http_errors      what can become of a request
decompression    bodies without their compression
network          proxies and certificates
url              URLs that are sent exactly as they were given
"""
