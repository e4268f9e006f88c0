package view

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
)

// The sizes of pages.
const (
	defaultLimit = 500
	maxLimit     = 2000
	maxQuery     = 1000 // bytes of a text to search for
)

// routes says what the server has. The parameters after and limit select a page.
func (s *Server) routes() {
	s.mux.HandleFunc("/", s.serveFile)
	s.mux.HandleFunc("/api/changes", s.serveChanges) // after, began: a position
	s.mux.HandleFunc("/api/updates", s.serveUpdates) // after, began: a position; server-sent events
	s.mux.HandleFunc("/api/events", s.serveEvents)   // of: an invocation or an environment; after: an event
	s.mux.HandleFunc("/api/event", s.serveEvent)     // number: its line of kinetel/1
	s.mux.HandleFunc("/api/export", s.serveExport)   // of: an invocation or an environment; lines of kinetel/1
	s.mux.HandleFunc("/api/search", s.serveSearch)   // text, severity; after: an event
	s.mux.HandleFunc("/api/health", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.view.Health()) })
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the browser may have gone
}

// numbers reads parameters that are numbers. Those that are absent stay as they are.
func numbers(w http.ResponseWriter, r *http.Request, into map[string]*uint64) bool {
	for name, n := range into {
		text := r.FormValue(name)
		if text == "" {
			continue
		}
		var err error
		if *n, err = strconv.ParseUint(text, 10, 53); err != nil {
			http.Error(w, fmt.Sprintf("%s is %.40q: it must be a number", name, text), http.StatusBadRequest)
			return false
		}
	}
	return true
}

func (s *Server) serveChanges(w http.ResponseWriter, r *http.Request) {
	after, limit := Position{}, uint64(defaultLimit)
	if numbers(w, r, map[string]*uint64{"after": &after.Revision, "began": &after.Began, "limit": &limit}) {
		writeJSON(w, s.view.Changes(after, int(min(limit, maxLimit))))
	}
}

func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	of, after, limit := uint64(0), uint64(0), uint64(defaultLimit)
	if !numbers(w, r, map[string]*uint64{"of": &of, "after": &after, "limit": &limit}) {
		return
	}
	page, ok := s.view.Page(of, after, int(min(limit, maxLimit)))
	if !ok {
		notInMemory(w)
		return
	}
	writeJSON(w, page)
}

func notInMemory(w http.ResponseWriter) {
	http.Error(w, "it is no longer in memory: kinetel view --memory keeps more", http.StatusNotFound)
}

func (s *Server) serveEvent(w http.ResponseWriter, r *http.Request) {
	number := uint64(0)
	if !numbers(w, r, map[string]*uint64{"number": &number}) {
		return
	}
	e := s.view.eventWith(number)
	if e == nil {
		notInMemory(w)
		return
	}
	if r.FormValue("text") != "" {
		writeJSON(w, e.line(math.MaxInt))
		return
	}
	writeJSON(w, e.Event)
}

func (s *Server) serveExport(w http.ResponseWriter, r *http.Request) {
	of := uint64(0)
	if !numbers(w, r, map[string]*uint64{"of": &of}) {
		return
	}
	events, _, ok := s.view.page(of, 0, math.MaxInt)
	if !ok {
		notInMemory(w)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for _, e := range events {
		line, err := e.Event.MarshalJSON()
		if err != nil {
			continue // its body is no JSON
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return
		}
	}
}

func (s *Server) serveSearch(w http.ResponseWriter, r *http.Request) {
	after, severity := uint64(0), uint64(0)
	if !numbers(w, r, map[string]*uint64{"after": &after, "severity": &severity}) {
		return
	}
	text := r.FormValue("text")
	if len(text) > maxQuery {
		http.Error(w, fmt.Sprintf("the text has %d bytes: at most %d can be searched for", len(text), maxQuery), http.StatusBadRequest)
		return
	}
	writeJSON(w, s.view.Search(text, int(min(severity, uint64(len(severities)))), after))
}
