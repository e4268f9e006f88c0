// Package firewall is a TCP proxy for tests that does not let every TLS handshake
// through.
package firewall

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Segment is what one TCP segment carries on the usual network.
const Segment = 1400

// Firewall forwards connections, and drops some by the size of their ClientHello.
type Firewall struct {
	Addr string // host:port, where it listens

	DropLarge atomic.Bool // drop connections whose ClientHello is larger than Segment
	DropAll   atomic.Bool // drop all connections
	Reset     atomic.Bool // reset what is dropped; else it is never answered
	Large     atomic.Int64
	Small     atomic.Int64 // ClientHellos seen

	listener net.Listener
	target   string
	serving  sync.WaitGroup
	ctx      context.Context // ends when the firewall does
	cancel   context.CancelFunc
}

// Start starts a Firewall before a server, which drops large ClientHellos.
func Start(target string) (*Firewall, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &Firewall{Addr: l.Addr().String(), listener: l, target: target, ctx: ctx, cancel: cancel}
	f.DropLarge.Store(true)
	f.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.serving.Go(func() { f.serve(conn) })
		}
	})
	return f, nil
}

// Close ends the firewall and its connections.
func (f *Firewall) Close() {
	f.cancel()
	_ = f.listener.Close()
	f.serving.Wait()
}

// closing closes a connection when f ends; the result has it closed before.
func (f *Firewall) closing(conn net.Conn) (end func()) {
	stop := context.AfterFunc(f.ctx, func() { _ = conn.Close() })
	return func() {
		stop()
		_ = conn.Close()
	}
}

func (f *Firewall) serve(client net.Conn) {
	defer f.closing(client)()
	head := make([]byte, 5) // of a TLS record: type, version, length
	if _, err := io.ReadFull(client, head); err != nil {
		return
	}
	large := len(head)+int(binary.BigEndian.Uint16(head[3:])) > Segment
	if large {
		f.Large.Add(1)
	} else {
		f.Small.Add(1)
	}
	if f.DropAll.Load() || large && f.DropLarge.Load() {
		if f.Reset.Load() {
			_ = client.(*net.TCPConn).SetLinger(0)
			return
		}
		_, _ = io.Copy(io.Discard, client) // until the client closes
		return
	}
	server, err := net.Dial("tcp", f.target)
	if err != nil {
		return
	}
	end := f.closing(server)
	defer end()
	f.serving.Go(func() {
		defer end()
		_, _ = server.Write(head)
		_, _ = io.Copy(server, client)
	})
	_, _ = io.Copy(client, server)
}
