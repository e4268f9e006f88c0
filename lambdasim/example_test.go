package lambdasim_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"

	"github.com/kinetel/kinetel/lambdasim"
)

// Start a function with an extension, invoke it, and print the telemetry that the sandbox
// emits.
func Example() {
	ctx := context.Background()
	sandbox, err := lambdasim.Start(ctx, lambdasim.Config{
		Function:   lambdasim.Process{Path: program("function")},
		Extensions: []lambdasim.Process{{Path: program("bare-extension")}},
		OnEvent:    func(e lambdasim.Event) { fmt.Println(e.Type) },
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

// Kill an extension in the middle of an invocation. The next invocation has new processes.
func ExampleSandbox_SignalExtension() {
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
		if err := sandbox.SignalExtension("bare-extension", os.Kill); err != nil {
			log.Print(err)
		}
	}()
	result, err := sandbox.Invoke(ctx, []byte(`{"lines":1,"hang":true}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Status, result.ErrorType)
	result, err = sandbox.Invoke(ctx, []byte(`{}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Status, "after another Init:", result.SuppressedInit)
	if _, err := sandbox.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// failure Extension.Crash
	// success after another Init: true
}

// Print the lines that a function writes, with the invocation that each belongs to.
func ExampleSandbox_Events() {
	ctx := context.Background()
	sandbox, err := lambdasim.Start(ctx, lambdasim.Config{
		Function:   lambdasim.Process{Path: program("function")},
		KeepEvents: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	var invocations []string
	for range 2 {
		result, err := sandbox.Invoke(ctx, []byte(`{"lines":2}`))
		if err != nil {
			log.Fatal(err)
		}
		invocations = append(invocations, result.RequestID)
	}
	if _, err := sandbox.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	for _, e := range sandbox.Events() {
		if e.Type == "function" {
			fmt.Println("line of invocation", slices.Index(invocations, e.RequestID))
		}
	}
	// Output:
	// line of invocation 0
	// line of invocation 0
	// line of invocation 1
	// line of invocation 1
}

// Lose all telemetry on its way to an extension.
func ExampleConfig_rewritePost() {
	ctx := context.Background()
	sandbox, err := lambdasim.Start(ctx, lambdasim.Config{
		Function:   lambdasim.Process{Path: program("function")},
		Extensions: []lambdasim.Process{{Path: program("bare-extension")}},
		RewritePost: func(extension string, body []byte) [][]byte {
			return nil // [][]byte{body, body} would repeat it
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := sandbox.Invoke(ctx, []byte(`{"lines":5}`)); err != nil {
		log.Fatal(err)
	}
	report, err := sandbox.Shutdown(ctx)
	if err != nil {
		log.Fatal(err)
	}
	extension, _ := report.Extension("bare-extension")
	fmt.Println("POSTs:", extension.Posts)
	// Output:
	// POSTs: 0
}

// An extension exits before it has registered.
func ExampleInitError() {
	_, err := lambdasim.Start(context.Background(), lambdasim.Config{
		Function:   lambdasim.Process{Path: program("function")},
		Extensions: []lambdasim.Process{{Path: "/bin/false"}},
	})
	var failed *lambdasim.InitError
	if errors.As(err, &failed) {
		fmt.Println(failed.Type, "in phase", failed.Phase)
	}
	// Output:
	// Extension.Crash in phase init
}
