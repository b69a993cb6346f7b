"""`python -m infra.stack up | down | status`: what `make up`, `make down` and `make status` run; and `deploy`."""

import argparse
import sys

from infra.settings import load_settings
from infra.stack.commands import deploy, down, status, up
from infra.stack.place import say
from schemas.errors import ErsError

INTERRUPTED_STATUS = 130


def main(words: list[str]) -> int:
    """Run a command; return the exit status: 0 done, 1 failed, 2 bad usage or settings."""
    parser = argparse.ArgumentParser(prog="python -m infra.stack", description="The local stack: servers and a worker.")
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("up", help="start what does not run, and deploy prefect.yaml")
    starting.add_argument("--foreground", action="store_true", help="stay, for containers; logs to standard output")
    commands.add_parser("down", help="end what up has started")
    commands.add_parser("status", help="say what runs")
    commands.add_parser("deploy", help="deploy prefect.yaml to the server at PREFECT_API_URL, and start nothing")
    options = parser.parse_args(words)
    try:
        settings = load_settings()
        if options.command == "up":
            return up(settings, options.foreground)
        return {"down": down, "status": status, "deploy": deploy}[options.command](settings)
    except ErsError as error:
        say(f"error: {' '.join(str(error).split())}")
        return error.exit_status
    except KeyboardInterrupt:
        say("error: interrupted")
        return INTERRUPTED_STATUS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
