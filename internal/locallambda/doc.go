// Package locallambda makes a local Lambda service of sandboxes of lambdasim: [Pool] scales
// one function over several environments, and [Handler] serves Lambda's Invoke API for it.
//
// Sources: the AWS documentation of Invoke, InvokeWithResponseStream and asynchronous
// invocations, and the service model of the AWS SDKs.
package locallambda
