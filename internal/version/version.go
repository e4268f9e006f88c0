// Package version defines Kinetel's version.
package version

// Version is Kinetel's version, without a leading v. `kinetel version` prints it. It
// is in the user agent of every request to Kinesis, in kinetel.environment and in the
// description of the layers. A release's tag is a v and the version.
const Version = "0.1.0"
