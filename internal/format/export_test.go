package format

// PutEventID is putEventID, for tests of its own.
func PutEventID(dst []byte, ms int64, seq uint64, what Message, environment string) {
	putEventID(dst, ms, seq, what, environment)
}
