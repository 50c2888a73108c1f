"""The demo: a week of real flights through a station, every one of them counted.

A client like any other: it uses the public SDK and knows nothing of the broker's inside. The data
and its licence are described in NOTICE.
"""
