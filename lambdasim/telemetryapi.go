package lambdasim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The Telemetry API, version 2022-07-01: the subscription. Delivery is in
// delivery.go.

const errorValidation = "ValidationError"

func (s *Sandbox) serveTelemetry(w http.ResponseWriter, r *http.Request, g *generation, now time.Time) {
	switch s.cfg.Telemetry {
	case TelemetryNotFound404:
		s.notice(Notice{Kind: NoticeRefused, Detail: "PUT " + r.URL.Path + ": 404"})
		http.NotFound(w, r)
		return
	case TelemetryNotSupported202:
		// Even without a valid identifier, as the emulator.
		s.refuse(w, r, http.StatusAccepted, "Telemetry.NotSupported", "Telemetry API is not supported")
		return
	}
	ext := s.identify(w, r, g)
	if ext == nil {
		return
	}
	body, err := readBody(r, maxAPIBody)
	if err != nil {
		s.refuse(w, r, http.StatusBadRequest, errorValidation, err.Error())
		return
	}
	wanted, err := s.parseSubscription(body)
	if err != nil {
		s.refuse(w, r, http.StatusBadRequest, errorValidation, err.Error())
		return
	}
	sub := &subscriber{
		subscription: wanted, name: ext.name, generation: g.number, backlog: s.cfg.TelemetryBacklogBytes,
		hook: s.cfg.RewritePost, delivered: s.cfg.OnDelivered, notice: s.notice, wake: make(chan struct{}, 1),
		client: newTelemetryClient(wanted.port, s.cfg.DeliveryTimeout), onDropped: s.cfg.OnDropped,
	}
	if s.cfg.DropUnanswered {
		sub.reportDropped = s.relay.reportBatchDropped
	}
	if wanted.tcp {
		// The extension listens before it subscribes: Lambda dials at once.
		if sub.conn, err = net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(wanted.port))); err != nil {
			s.refuse(w, r, http.StatusBadRequest, errorValidation, "destination: "+err.Error())
			return
		}
	}

	s.mu.Lock()
	again := ext.subscribed
	ext.subscribed = true
	s.mu.Unlock()
	if again {
		// What AWS Lambda answers is not documented; this is what the emulator
		// for Managed Instances does.
		sub.discard()
		s.refuse(w, r, http.StatusInternalServerError, "Telemetry.AlreadySubscribed", ext.name+" has subscribed already")
		return
	}
	if err := s.relay.subscribe(sub); err != nil {
		sub.discard()
		s.mu.Lock()
		ext.subscribed = false
		s.mu.Unlock()
		s.refuse(w, r, http.StatusForbidden, "Telemetry.SubscriptionClosed", "Telemetry API subscription is closed already")
		return
	}
	s.mu.Lock()
	if ext.proc != nil {
		ext.proc.subscribedAt, ext.proc.sub = now, sub
	}
	s.mu.Unlock()
	s.relay.platform(typeTelemetrySubscription, subscriptionRecord{Name: ext.name, State: "Subscribed", Types: wanted.types})
	answer(w, http.StatusOK, []byte(`"OK"`))
	s.notice(Notice{Time: now, Kind: NoticeSubscribed, Process: ext.name, Detail: strings.Join(wanted.types, ",")})
}

// discard closes what a subscriber that was not accepted has opened.
func (s *subscriber) discard() {
	if s.conn != nil {
		s.conn.Close()
	}
}

// parseSubscription checks a subscription. It reports all problems together.
// Defaults and ranges are the AWS documentation's; where it names two defaults
// for maxItems, this takes 10000, as the emulator. A value out of range is an
// error and not clamped, as in the emulator's schema.
func (s *Sandbox) parseSubscription(body []byte) (subscription, error) {
	var request struct {
		SchemaVersion string   `json:"schemaVersion"`
		Types         []string `json:"types"`
		Buffering     struct {
			MaxItems  *int `json:"maxItems"`
			MaxBytes  *int `json:"maxBytes"`
			TimeoutMs *int `json:"timeoutMs"`
		} `json:"buffering"`
		Destination struct {
			Protocol string `json:"protocol"`
			URI      string `json:"URI"`
			Port     *int   `json:"port"`
		} `json:"destination"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return subscription{}, fmt.Errorf("the body is not valid: %w", err)
	}
	var sub subscription
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }

	schema, known := schemaIndex(request.SchemaVersion)
	if !known || !slices.Contains(s.cfg.AcceptSchemas, request.SchemaVersion) {
		problem("schemaVersion %q is not supported", request.SchemaVersion)
	}
	sub.schema = schema
	if len(request.Types) == 0 {
		problem("types should not be empty")
	}
	for _, name := range request.Types {
		switch name {
		case "platform":
			sub.streams |= streamPlatform
		case "function":
			sub.streams |= streamFunction
		case "extension":
			sub.streams |= streamExtension
		default:
			problem("unknown type %q", name)
		}
	}
	sub.types = request.Types

	within := func(name string, value *int, def, least, most int) int {
		if value == nil {
			return def
		}
		if *value < least || *value > most {
			problem("buffering.%s is %d, must be %d to %d", name, *value, least, most)
		}
		return *value
	}
	sub.maxItems = within("maxItems", request.Buffering.MaxItems, 10000, 1000, 10000)
	sub.maxBytes = within("maxBytes", request.Buffering.MaxBytes, 262144, 262144, 1048576)
	sub.timeout = time.Duration(within("timeoutMs", request.Buffering.TimeoutMs, 1000, 25, 30000)) * time.Millisecond

	switch request.Destination.Protocol {
	case "HTTP":
		if err := sub.parseURI(request.Destination.URI); err != nil {
			problem("%s", err)
		}
	case "TCP":
		sub.tcp = true
		if port := request.Destination.Port; port == nil || *port < 1 || *port > 65535 {
			problem("destination.port must be 1 to 65535")
		} else {
			sub.port = *port
		}
	default:
		problem("destination.protocol is %q, must be HTTP or TCP", request.Destination.Protocol)
	}
	if len(problems) > 0 {
		return subscription{}, errors.New(strings.Join(problems, "; "))
	}
	return sub, nil
}

// parseURI checks where telemetry is to go. The sandbox itself dials 127.0.0.1,
// but keeps path, query and the Host header.
func (sub *subscription) parseURI(uri string) error {
	parsed, err := url.Parse(uri)
	if err != nil {
		return fmt.Errorf("destination.URI: %w", err)
	}
	if parsed.Scheme != "http" {
		return fmt.Errorf("destination.URI must begin with http://")
	}
	if host := parsed.Hostname(); host != "sandbox.localdomain" && host != "sandbox" {
		return fmt.Errorf("destination.URI: host is %q, must be sandbox.localdomain", host)
	}
	if parsed.Port() == "" {
		return errors.New("URI port is not provided")
	}
	if sub.port, err = strconv.Atoi(parsed.Port()); err != nil || sub.port < 1 || sub.port > 65535 {
		return fmt.Errorf("destination.URI: %q is no port", parsed.Port())
	}
	sub.uri, sub.host = parsed.String(), parsed.Host
	return nil
}
