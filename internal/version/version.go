// Package version holds the one place that Kinetel's version is written in.
package version

// Version is Kinetel's version, without a leading v. It goes into the user
// agent of every request to Kinesis.
const Version = "0.1.0"
