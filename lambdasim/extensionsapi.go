package lambdasim

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The Extensions API, version 2020-01-01.

// The states of an extension, as platform.extension names them.
type extensionState string

const (
	stateStarted     extensionState = "Started"
	stateRegistered  extensionState = "Registered"
	stateReady       extensionState = "Ready" // called its first next
	stateInitError   extensionState = "InitError"
	stateExitError   extensionState = "ExitError"
	stateLaunchError extensionState = "LaunchError"
)

// extension is one that was launched, or an internal one that the function's
// process registered. Guarded by Sandbox.mu, except what never changes.
type extension struct {
	name     string
	internal bool
	proc     *process // nil for internal ones
	// inbox has the event for the pending next, or the one to come.
	inbox chan []byte

	id               string // empty before it registered
	state            extensionState
	errorType        string
	invoke, shutdown bool
	waiting          bool // a next is pending
	subscribed       bool
}

func newExtension(cfg Process) *extension {
	return &extension{
		name: filepath.Base(cfg.Path), state: stateStarted,
		// Room for an INVOKE that was not fetched and the SHUTDOWN after it.
		inbox: make(chan []byte, 2),
	}
}

func (e *extension) eventNames() []string {
	names := []string{}
	if e.invoke {
		names = append(names, "INVOKE")
	}
	if e.shutdown {
		names = append(names, "SHUTDOWN")
	}
	return names
}

const (
	headerExtensionName       = "Lambda-Extension-Name"
	headerExtensionID         = "Lambda-Extension-Identifier"
	headerExtensionFeature    = "Lambda-Extension-Accept-Feature"
	headerExtensionErrorType  = "Lambda-Extension-Function-Error-Type"
	headerExtensionEventID    = "Lambda-Extension-Event-Identifier"
	maxRegisteredExtensions   = 10
	errorInvalidState         = "Extension.InvalidExtensionState"
	errorInvalidRequestFormat = "InvalidRequestFormat"
)

func (s *Sandbox) serveRegister(w http.ResponseWriter, r *http.Request, g *generation, now time.Time) {
	forbid := func(errorType, message string) { s.refuse(w, r, http.StatusForbidden, errorType, message) }
	name := r.Header.Get(headerExtensionName)
	if name == "" {
		forbid("Extension.InvalidExtensionName", "Lambda-Extension-Name header is missing or empty")
		return
	}
	body, err := readBody(r, maxAPIBody)
	if err != nil {
		forbid(errorInvalidRequestFormat, err.Error())
		return
	}
	var request struct {
		Events            []string          `json:"events"`
		ConfigurationKeys []json.RawMessage `json:"configurationKeys"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		forbid(errorInvalidRequestFormat, "the body is no JSON object: "+err.Error())
		return
	}
	if len(request.ConfigurationKeys) > 0 {
		forbid(errorInvalidRequestFormat, "configurationKeys are deprecated")
		return
	}
	// A name that is no launched file's is an internal extension's.
	internal := !s.isLaunched(name)
	for _, event := range request.Events {
		switch {
		case event == "INVOKE" && s.cfg.managed():
			forbid("Extension.InvalidEventType", "INVOKE is not supported with "+string(InitManagedInstances))
			return
		case event == "INVOKE" && s.cfg.RefuseInvoke:
			forbid("Extension.InvalidEventType", "INVOKE is not supported")
			return
		case event == "INVOKE":
		case event == "SHUTDOWN" && !internal:
		case event == "SHUTDOWN":
			forbid("Extension.InvalidEventType", "SHUTDOWN is not supported for internal extensions")
			return
		default:
			forbid("Extension.InvalidEventType", "unknown event "+event)
			return
		}
	}

	s.mu.Lock()
	ext, errorType, message := g.register(name, internal)
	if errorType != "" {
		s.mu.Unlock()
		forbid(errorType, message)
		return
	}
	ext.id, ext.state = newUUID(), stateRegistered
	ext.invoke, ext.shutdown = slices.Contains(request.Events, "INVOKE"), slices.Contains(request.Events, "SHUTDOWN")
	if ext.proc != nil {
		ext.proc.registeredAt = now
	}
	id := ext.id
	s.broadcast()
	s.mu.Unlock()

	response := struct {
		FunctionName    string `json:"functionName"`
		FunctionVersion string `json:"functionVersion"`
		Handler         string `json:"handler"`
		AccountID       string `json:"accountId,omitempty"`
	}{FunctionName: s.cfg.FunctionName, FunctionVersion: s.cfg.FunctionVersion, Handler: s.cfg.Handler}
	for feature := range strings.SplitSeq(r.Header.Get(headerExtensionFeature), ",") {
		if strings.TrimSpace(feature) == "accountId" {
			response.AccountID = s.cfg.AccountID
		}
	}
	encoded, err := json.Marshal(response)
	if err != nil {
		// Strings only: they encode.
		panic("lambdasim: " + err.Error())
	}
	w.Header().Set(headerExtensionID, id)
	answer(w, http.StatusOK, encoded)
	s.notice(Notice{Time: now, Kind: NoticeRegistered, Process: name, Detail: strings.Join(request.Events, ",")})
}

// register finds the extension of that name, or makes an internal one, and says
// why it may not register. Sandbox.mu is held.
func (g *generation) register(name string, internal bool) (ext *extension, errorType, message string) {
	registered := 0
	for _, e := range g.extensions {
		if e.id != "" {
			registered++
		}
		if e.name == name {
			ext = e
		}
	}
	switch {
	case ext != nil && ext.id != "":
		return nil, errorInvalidState, "the extension " + name + " is registered already"
	case g.runtimeReady:
		return nil, "Extension.RegistrationClosed", "the registration of extensions is closed"
	case registered >= maxRegisteredExtensions:
		return nil, "Extension.TooManyExtensions", "more than 10 extensions"
	case ext == nil && internal:
		ext = &extension{name: name, internal: true, inbox: make(chan []byte, 2)}
		g.extensions = append(g.extensions, ext)
	case ext == nil:
		// Launched, by the configuration, but not in this generation yet: it
		// cannot be the process itself that asks.
		return nil, errorInvalidState, "the extension " + name + " was not started"
	}
	return ext, "", ""
}

// identify finds the extension that makes a request, and answers otherwise.
func (s *Sandbox) identify(w http.ResponseWriter, r *http.Request, g *generation) *extension {
	id := r.Header.Get(headerExtensionID)
	switch {
	case id == "":
		s.refuse(w, r, http.StatusForbidden, "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header")
		return nil
	case !isUUID(id):
		s.refuse(w, r, http.StatusForbidden, "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier")
		return nil
	}
	ext := s.extensionByID(g, strings.ToLower(id))
	if ext == nil {
		s.refuse(w, r, http.StatusForbidden, "Extension.UnknownExtensionIdentifier", "Unknown extension "+id)
	}
	return ext
}

func (s *Sandbox) extensionByID(g *generation, id string) *extension {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ext := range g.extensions {
		if ext.id == id {
			return ext
		}
	}
	return nil
}

func isUUID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i, c := range []byte(id) {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
		default:
			return false
		}
	}
	return true
}

// serveExtensionNext ends the extension's part in an invocation, if any, and
// blocks until there is an event.
func (s *Sandbox) serveExtensionNext(w http.ResponseWriter, r *http.Request, g *generation, now time.Time) {
	ext := s.identify(w, r, g)
	if ext == nil {
		return
	}
	s.mu.Lock()
	if ext.waiting || ext.state != stateRegistered && ext.state != stateReady {
		state := ext.state
		s.mu.Unlock()
		s.refuse(w, r, http.StatusForbidden, errorInvalidState, "next is not allowed in state "+string(state))
		return
	}
	if ext.state == stateRegistered && ext.proc != nil {
		ext.proc.firstNextAt, ext.proc.firstNextCPU = now, cpuTime(ext.proc.pid)
	}
	ext.state, ext.waiting = stateReady, true
	// An INVOKE event in the inbox has not been fetched: this next gets it.
	if inv := g.inv; inv != nil && inv.pending[ext] && len(ext.inbox) == 0 {
		delete(inv.pending, ext)
		inv.extensionsDone[ext] = now
	}
	s.broadcast()
	s.mu.Unlock()

	var event []byte
	select {
	case event = <-ext.inbox:
	case <-r.Context().Done():
	case <-g.done:
	}
	s.mu.Lock()
	ext.waiting = false
	s.mu.Unlock()
	if event == nil {
		return
	}
	w.Header().Set(headerExtensionEventID, newUUID())
	answer(w, http.StatusOK, event)
}

// validExtensionErrorType is what Managed Instances keep of an extension's own
// error types, by the emulator.
var validExtensionErrorType = regexp.MustCompile(`^Extension\.[A-Z][a-zA-Z]+$`)

// serveExtensionError takes an extension's init/error or exit/error.
func (s *Sandbox) serveExtensionError(w http.ResponseWriter, r *http.Request, g *generation, state extensionState) {
	ext := s.identify(w, r, g)
	if ext == nil {
		return
	}
	errorType := r.Header.Get(headerExtensionErrorType)
	if errorType == "" {
		s.refuse(w, r, http.StatusForbidden, "Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found")
		return
	}
	if _, err := readBody(r, maxAPIBody); err != nil {
		s.refuse(w, r, http.StatusForbidden, errorInvalidRequestFormat, err.Error())
		return
	}
	s.mu.Lock()
	allowed := ext.state == stateRegistered || ext.state == stateReady && state == stateExitError
	repeated := ext.state == stateInitError && state == stateInitError
	if !allowed && !repeated {
		current := ext.state
		s.mu.Unlock()
		s.refuse(w, r, http.StatusForbidden, errorInvalidState, "not allowed in state "+string(current))
		return
	}
	ext.state, ext.errorType = state, errorType
	if !g.stopping && g.fatal == nil {
		// On demand, the recorded type is a fixed one: that of the emulator.
		recorded := "Extension." + string(state)
		if s.cfg.managed() && validExtensionErrorType.MatchString(errorType) {
			recorded = errorType
		}
		g.fatal = &failure{
			errorType: recorded, reported: true,
			message: "extension " + ext.name + " reported " + errorType, detail: ext.name + " reported " + errorType,
		}
	}
	s.broadcast()
	s.mu.Unlock()
	answer(w, http.StatusAccepted, statusOK)
}
