"""`python -m cmcgan_cli`, for shells where the `cmcgan` script is not on the path."""

from cmcgan_cli.app import main

if __name__ == "__main__":
    main()
