import logging

log = logging.getLogger()
log.setLevel(logging.INFO)

def handler(event, context):
    log.info("hello")
    if event.get("fail"):
        raise RuntimeError("the event says fail")
    return {"requestId": context.aws_request_id}
