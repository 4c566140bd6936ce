"""What tests share: a harness for each part of batchcap, servers, rows and a clock.

Nothing here is a mock. A harness starts the part under test with what it needs; the fakes
keep the contract of the protocol that they implement (tests/contract holds the real ones to it).
"""
