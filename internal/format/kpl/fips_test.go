package kpl_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/kpl"
)

// fipsVariable marks the process in which FIPS mode is enforced.
const fipsVariable = "KINETELTEST_FIPS"

// The MD5 of the KPL's format is only a checksum, and FIPS mode must not panic.
func TestAggregatesAreMadeInFIPSMode(t *testing.T) {
	if os.Getenv(fipsVariable) == "" {
		test := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		test.Env = append(os.Environ(), fipsVariable+"=1", "GODEBUG=fips140=only")
		if out, err := test.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	lines := []format.Line{{Text: []byte("one\n")}, {Text: []byte("two\n")}}
	n := 0
	if err := readAll(kpl.Append(nil, nil, "key", lines), func([]byte) error { n++; return nil }); err != nil || n != 2 {
		t.Errorf("%d lines, %v", n, err)
	}
}
