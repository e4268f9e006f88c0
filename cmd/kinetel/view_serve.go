package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"runtime"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/internal/view"
)

// pageServer serves the page of a view, with the flags of the commands that do.
type pageServer struct {
	port   int
	open   bool
	memory int64 // MB
}

func (p *pageServer) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&p.port, "port", 0, "serve the page on this port of 127.0.0.1 (default: a free one)")
	f.BoolVar(&p.open, "open", false, "open the page in your browser")
	f.Int64Var(&p.memory, "memory", view.DefaultBytes>>20, "keep so many `MB` of the latest events")
}

// unused refuses the flags if no page is served.
func (p *pageServer) unused(cmd *cobra.Command) error {
	for _, flag := range []string{"port", "open", "memory"} {
		if cmd.Flags().Changed(flag) {
			return usage(fmt.Errorf("--%s is for the page: add --view", flag))
		}
	}
	return nil
}

// maxMemory is more than a machine has, and no overflow.
const maxMemory = 1 << 20 // MB

// serve serves the page until the context ends, which is the usual end. read adds events to
// it.
func (p *pageServer) serve(ctx context.Context, out, stderr io.Writer, o view.Options, read func(context.Context, *view.View) error) error {
	switch {
	case p.port < 0 || p.port > 65535:
		return usage(fmt.Errorf("--port is %d: it must be from 0 to 65535", p.port))
	case p.memory < 1 || p.memory > maxMemory:
		return usage(fmt.Errorf("--memory is %d: it must be from 1 to %d MB", p.memory, maxMemory))
	}
	o.Bytes = p.memory << 20
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
	if err != nil {
		return fmt.Errorf("--port %d: %w: pass another one, or 0 for a free one", p.port, err)
	}
	v := view.New(o)
	server := view.NewServer(v, listener.Addr())
	serving, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() {
		served <- server.Serve(serving, listener)
		stop()
	}()
	fmt.Fprintf(out, "kinetel: the page is at %s until you press Ctrl-C\n", server.URL())
	if p.open {
		if err := openBrowser(server.OneTimeURL()); err != nil {
			fmt.Fprintf(stderr, "kinetel: --open: %v: open the address yourself\n", err)
		}
	}
	err = read(serving, v)
	if serving.Err() != nil {
		err = nil // the usual end
	}
	v.End(err)
	switch {
	case err != nil && v.Events() == 0:
		stop() // there is nothing to see
	case err != nil:
		fmt.Fprintf(stderr, "kinetel: no more is read: %v; the page shows what arrived before\n", err)
	}
	if failed := <-served; failed != nil {
		return failed
	}
	return err
}

// openBrowser opens an address in the user's browser.
func openBrowser(url string) error {
	line := map[string][]string{"darwin": {"open"}, "windows": {"rundll32", "url.dll,FileProtocolHandler"}}[runtime.GOOS]
	if line == nil {
		line = []string{"xdg-open"}
	}
	cmd := exec.Command(line[0], append(line[1:], url)...)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // it ends when the browser has the address
	return nil
}
