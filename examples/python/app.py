"""A handler for `kinetel run --runtime python --handler app.handler -- examples/python`."""

import logging

logging.getLogger().setLevel(logging.INFO)


def handler(event, context):
    logging.info("an event with %d keys", len(event))
    return {"hello": event.get("name", "world")}
