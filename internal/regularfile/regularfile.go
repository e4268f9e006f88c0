// Package regularfile reads files whose paths come from the configuration: a token, a
// bundle of certificates. A wrong path must not block or fill the memory.
package regularfile

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// Read reads a file of at most most bytes. It does not wait for a pipe and does not
// read a device.
func Read(path string, most int) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var content []byte
	if info.Mode().IsRegular() {
		content, err = io.ReadAll(io.LimitReader(f, int64(most)+1))
	}
	if !info.Mode().IsRegular() || len(content) > most {
		return nil, fmt.Errorf("it is not a regular file of at most %d KiB", most>>10)
	}
	return content, err
}
