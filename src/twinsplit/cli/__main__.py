"""`python -m twinsplit.cli`: as `python -m twinsplit`."""

from twinsplit.cli.entry import main

if __name__ == "__main__":
    main()
