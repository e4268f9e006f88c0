//go:build !unix

package kinesissim

import "os"

// lock does nothing here: start one server for each folder.
func lock(*os.File) error { return nil }
