package ship

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// jitter returns a random duration below most, which must be positive. It is
// the kernel's randomness: a generator of the process's own is in a SnapStart
// snapshot, and all the environments that come of it would wait alike.
func jitter(most time.Duration) time.Duration {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process instead (crypto/rand)
	return time.Duration(binary.NativeEndian.Uint64(b[:]) % uint64(most))
}
