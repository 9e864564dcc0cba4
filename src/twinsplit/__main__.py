"""`python -m twinsplit`: the command, whether or not its script is on the path."""

from twinsplit.cli.entry import main

if __name__ == "__main__":
    main()
