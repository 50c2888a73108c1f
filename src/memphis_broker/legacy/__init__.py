"""The edge for the original's SDKs: their requests, reports and pushes, over the same services."""
