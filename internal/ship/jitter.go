package ship

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// jitter returns a random duration below most, which must be positive. It reads
// the kernel's random source: a generator in the process would be part of a
// SnapStart snapshot, and all environments restored from it would wait alike.
func jitter(most time.Duration) time.Duration {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never returns an error: it ends the process instead (crypto/rand)
	return time.Duration(binary.NativeEndian.Uint64(b[:]) % uint64(most))
}
