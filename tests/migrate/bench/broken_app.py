"""An app whose import fails, in a function of its own."""

import json


def settings() -> object:
    return json.loads("{")


app = settings()
