before() { make_bucket; }

after() { parameter_of stream/arn && parameter_of extension/x86_64/arn && parameter_of runtime/policy/arn; }
