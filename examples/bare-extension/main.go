// Command bare-extension is the smallest useful Lambda extension in Go: it
// registers, listens, subscribes to telemetry, and loops over "next". It
// answers every telemetry POST with 200 and throws the body away.
//
// It is the floor that a real extension is measured against, and the sample
// that lambdasim's tests run. Build it as small as a layer would have it:
//
//	CGO_ENABLED=0 go build -tags nethttpomithttp2 -trimpath -ldflags '-s -w' ./examples/bare-extension
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bare-extension:", err)
		os.Exit(1)
	}
}

func run() error {
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API")
	// Lambda freezes the process inside "next" for as long as it likes, so no
	// time-out; and the function owner's proxy is none of this extension's.
	client := &http.Client{Transport: &http.Transport{Proxy: nil}}

	// Lambda knows an extension by the name of its file, and by that only.
	header, _, err := call(client, http.MethodPost, api+"/2020-01-01/extension/register",
		"Lambda-Extension-Name", filepath.Base(os.Args[0]), `{"events":["INVOKE","SHUTDOWN"]}`)
	if err != nil {
		return err
	}
	id := header.Get("Lambda-Extension-Identifier")

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(discard)}
	go func() {
		if err := server.Serve(listener); err != nil && err != http.ErrServerClosed {
			fmt.Fprintln(os.Stderr, "bare-extension:", err)
		}
	}()
	defer server.Close()

	_, port, _ := net.SplitHostPort(listener.Addr().String())
	if _, _, err := call(client, http.MethodPut, api+"/2022-07-01/telemetry", "Lambda-Extension-Identifier", id,
		`{"schemaVersion":"2022-12-13","types":["platform","function"],`+
			`"buffering":{"maxItems":1000,"maxBytes":262144,"timeoutMs":25},`+
			`"destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain:`+port+`"}}`); err != nil {
		return err
	}

	for {
		_, event, err := call(client, http.MethodGet, api+"/2020-01-01/extension/event/next",
			"Lambda-Extension-Identifier", id, "")
		if err != nil {
			return err
		}
		if strings.Contains(event, `"eventType":"SHUTDOWN"`) {
			return nil
		}
	}
}

// discard takes a batch of telemetry. The body is read to its end, so that the
// connection can be used again.
func discard(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// call makes one request with one header of its own and wants a 200.
func call(client *http.Client, method, url, key, value, body string) (http.Header, string, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	req.Header.Set(key, value)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, "", err
	}
	if res.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("%s %s: %s: %s", method, url, res.Status, answer)
	}
	return res.Header, string(answer), nil
}
