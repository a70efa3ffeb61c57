"""The only place that knows all the parts: it reads the settings, builds them and starts them."""


def main() -> None:
    """Entry point of the `kubechat` command."""
