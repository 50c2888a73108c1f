"""The broker: the control plane of Memphis on a stock nats-server, and the command line."""
