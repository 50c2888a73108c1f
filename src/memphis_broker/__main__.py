"""``python -m memphis_broker`` is the ``memphis`` command."""

from memphis_broker.cli.main import main

if __name__ == "__main__":
    main()
