// Package locallambda makes a local Lambda service of sandboxes of lambdasim: [Pool] scales
// one function over several environments, and [Handler] serves Lambda's Invoke API for it.
//
// It differs from AWS Lambda in this:
//
//   - Signatures and permissions are not checked. Account and region of an ARN do not
//     matter, and every alias stands for the local version.
//   - The retries of asynchronous invocations come after seconds instead of minutes
//     (HandlerConfig.RetryDelays). There are no destinations; HandlerConfig.OnEventDone gets
//     the outcomes.
//   - A payload that is too large is a RequestTooLargeException, as the service model has it.
//     AWS Lambda was seen to name it RequestEntityTooLargeException.
//   - A request waits for an invocation that has answered and is about to end, instead of
//     being throttled.
//   - Function URLs, durable executions and the deprecated InvokeAsync are not served.
//
// Sources: the AWS documentation of Invoke, InvokeWithResponseStream and asynchronous
// invocations, and the service model of the AWS SDKs.
package locallambda
