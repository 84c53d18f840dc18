"""`python -m extauthz.cli` is the command line."""

from extauthz.cli.main import main

if __name__ == "__main__":
    main()
