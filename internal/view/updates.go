package view

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	updateInterval = 250 * time.Millisecond
	updateLimit    = 500 // changes in a message
	maxUpdates     = 16  // clients
)

// serveUpdates sends what changes, as server-sent events. The id of a message is the
// position, so that a client that comes back continues after it. A client that does not read
// for writeTimeout is dropped.
func (s *Server) serveUpdates(w http.ResponseWriter, r *http.Request) {
	select {
	case s.updating <- struct{}{}:
		defer func() { <-s.updating }()
	default:
		http.Error(w, fmt.Sprintf("%d pages are open already: close one", maxUpdates), http.StatusServiceUnavailable)
		return
	}
	var after Position
	if !numbers(w, r, map[string]*uint64{"after": &after.Revision, "began": &after.Began}) {
		return
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		after = positionOf(id)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	client := updateClient{w: w, control: http.NewResponseController(w)}
	ticker := time.NewTicker(updateInterval)
	defer ticker.Stop()
	var health time.Time
	for {
		for {
			changes := s.view.Changes(after, updateLimit)
			if changes.Revision == after.Revision && !changes.Reset {
				break
			}
			after = changes.Position
			if client.send("changes", after, changes) != nil {
				return
			}
			if !changes.More {
				break
			}
		}
		if now := time.Now(); !now.Before(health) {
			health = now.Add(healthInterval)
			if client.send("health", after, s.view.Health()) != nil {
				return
			}
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		case <-s.ended:
			return
		}
	}
}

// id returns the position as the id of a message.
func (p Position) id() string { return fmt.Sprintf("%d-%d", p.Revision, p.Began) }

// positionOf reads an id. One that is wrong is the beginning.
func positionOf(id string) (p Position) {
	if _, err := fmt.Sscanf(id, "%d-%d", &p.Revision, &p.Began); err != nil {
		return Position{}
	}
	return p
}

type updateClient struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// send sends a message.
func (c *updateClient) send(name string, id Position, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if err := c.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.w, "id: %s\nevent: %s\ndata: %s\n\n", id.id(), name, text); err != nil {
		return err
	}
	return c.control.Flush()
}
