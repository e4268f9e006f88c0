package lambdasim_test

import (
	"context"
	"fmt"
	"log"

	"github.com/kinetel/kinetel/lambdasim"
)

// An invocation of the sample function with an extension, and the events that
// its extension is sent.
func Example() {
	ctx := context.Background()
	sandbox, err := lambdasim.Start(ctx, lambdasim.Config{
		Function:   lambdasim.Process{Path: program("function")},
		Extensions: []lambdasim.Process{{Path: program("bare-extension")}},
		OnEvent: func(e lambdasim.Event) {
			fmt.Println(e.Type)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	result, err := sandbox.Invoke(ctx, []byte(`{"id":"run-1","lines":2}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Status, string(result.Payload))
	report, err := sandbox.Shutdown(ctx)
	if err != nil {
		log.Fatal(err)
	}
	extension, _ := report.Extension("bare-extension")
	fmt.Println("exit code", extension.ExitCode)
	// Output:
	// platform.initStart
	// platform.telemetrySubscription
	// platform.initRuntimeDone
	// platform.extension
	// platform.initReport
	// platform.start
	// function
	// function
	// platform.runtimeDone
	// platform.report
	// success {"id":"run-1","lines":2,"bytes":40}
	// exit code 0
}

// A test of what an extension does when its own process is killed in the middle
// of an invocation.
func ExampleSandbox_KillExtension() {
	ctx := context.Background()
	lines := make(chan struct{}, 1)
	sandbox, err := lambdasim.Start(ctx, lambdasim.Config{
		Function:   lambdasim.Process{Path: program("function")},
		Extensions: []lambdasim.Process{{Path: program("bare-extension")}},
		OnEvent: func(e lambdasim.Event) {
			if e.Type == "function" {
				lines <- struct{}{}
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		<-lines
		if err := sandbox.KillExtension("bare-extension", 9); err != nil {
			log.Print(err)
		}
	}()
	result, err := sandbox.Invoke(ctx, []byte(`{"lines":1,"hang":true}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Status, result.ErrorType)
	if _, err := sandbox.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// failure Extension.Crash
}
