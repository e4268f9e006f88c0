package lambdasim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Back-off of a refused POST. AWS documents that it retries with back-off, but
// not how.
const (
	firstRetry = 25 * time.Millisecond
	lastRetry  = time.Second
)

// send delivers a batch, and again until it was accepted. It returns how often
// it was not, and false when ctx ended first.
func (s *subscriber) send(ctx context.Context, body []byte, events int) (failed int, ok bool) {
	bodies := [][]byte{body}
	if s.hook != nil {
		bodies = s.hook(s.name, body)
	}
	for _, b := range bodies {
		retry := firstRetry
		for {
			if ctx.Err() != nil {
				return failed, false
			}
			err := s.post(ctx, b)
			s.mu.Lock()
			s.posts++
			if err != nil {
				s.failedPosts++
			}
			s.mu.Unlock()
			if err == nil {
				break
			}
			failed++
			if ctx.Err() != nil {
				return failed, false
			}
			s.notice(Notice{Kind: NoticeDeliveryError, Process: s.name, Detail: err.Error(), Events: events})
			if !s.pause(ctx, retry) {
				return failed, false
			}
			retry = min(2*retry, lastRetry)
		}
	}
	return failed, true
}

// pause waits before a retry: the back-off, and as long as the environment is
// frozen. In a shutdown it is short.
func (s *subscriber) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	over := false
	for {
		s.mu.Lock()
		paused, urgent := s.paused, s.urgent
		s.mu.Unlock()
		if urgent && !over && d > firstRetry {
			d = firstRetry
			timer.Reset(d)
		}
		if over && !paused {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			over = true
		case <-s.wake:
		}
	}
}

// post sends one body.
func (s *subscriber) post(ctx context.Context, body []byte) error {
	if s.tcp {
		_, err := s.conn.Write(body)
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.uri, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Host = s.host
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20)); err != nil {
		return err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("the extension answered %s", res.Status)
	}
	return nil
}

// newTelemetryClient dials the extension, which is on this machine whatever the
// name in its URI is. Redirects are not followed: only a 2xx is an acceptance.
func newTelemetryClient(port int, timeout time.Duration) *http.Client {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				var dialer net.Dialer
				return dialer.DialContext(ctx, network, address)
			},
			MaxIdleConnsPerHost: 1,
			WriteBufferSize:     64 << 10,
			DisableCompression:  true,
		},
	}
}
