// Package version holds the one place that Kinetel's version is written in.
package version

// Version is Kinetel's version, without a leading v. `kinetel version` prints it;
// it is in the user agent of every request to Kinesis, in kinetel.environment and
// in the description of the layers, and a release's tag is it behind a v.
const Version = "0.1.0"
