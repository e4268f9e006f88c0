package extensionapi

import (
	"context"
	"net"
)

// SetDial replaces how connections are opened.
func (c *Client) SetDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	c.connection.dial = dial
}

// Close closes the connection.
func (c *Client) Close() { c.connection.close() }
