package record_test

import (
	"fmt"

	"github.com/kinetel/kinetel/record"
)

// printOnce prints the events of Kinesis records, each once.
func printOnce(records [][]byte) error {
	type number struct {
		environment string
		seq         uint64
	}
	seen := map[number]bool{}
	var events []record.Event
	for _, data := range records {
		decoded, err := record.Decode(data)
		if err != nil {
			return err
		}
		events = append(events, decoded...)
	}
	for _, e := range record.Join(events) {
		if n := (number{e.Environment(), e.Seq}); !seen[n] {
			seen[n] = true
			fmt.Println(e.Seq, e.Type, e.Severity, string(e.Body))
		}
	}
	return nil
}

// The same record twice, as can happen if it is unknown whether the first try
// arrived, and an event in two parts.
func Example() {
	const resource = `"resource":{"service.instance.id":"4f1e0c9a","faas.name":"orders"}}` + "\n"
	first := `{"schema":"kinetel/1","seq":1,"time":"2026-11-22T20:15:00.123Z","type":"function","severity":"INFO","body":"user signed in",` + resource +
		`{"schema":"kinetel/1","seq":2,"time":"2026-11-22T20:15:00.124Z","type":"function","part":1,"parts":2,"body":"{\"cart\":[1,",` + resource
	second := `{"schema":"kinetel/1","seq":3,"time":"2026-11-22T20:15:00.124Z","type":"function","part":2,"parts":2,"body":"2,3]}",` + resource

	if err := printOnce([][]byte{[]byte(first), []byte(first), []byte(second)}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 1 function INFO "user signed in"
	// 2 function  {"cart":[1,2,3]}
}
