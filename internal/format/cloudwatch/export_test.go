package cloudwatch

// PutEventID is putEventID, for tests.
func PutEventID(dst []byte, ms int64, seq uint64, kind Message, environment string) {
	putEventID(dst, ms, seq, kind, environment)
}
