// Package fakeaws is a server for tests that answers requests to AWS services with
// prepared answers.
package fakeaws

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// Answer is how an operation is answered: with a body, which is JSON or XML as the
// service's protocol is, or with an error.
type Answer struct {
	Body string
	// Code and Message are those of an error, with the status 400.
	Code, Message string
	// Hang means that there is no answer.
	Hang bool
}

// UnmarshalJSON decodes a body, {"Code": …, "Message": …}, or a JSON string with XML.
func (a *Answer) UnmarshalJSON(b []byte) error {
	type plain Answer
	if json.Unmarshal(b, &a.Body) == nil {
		return nil
	}
	a.Body = string(b)
	return json.Unmarshal(b, (*plain)(a))
}

// Server is the server. Change its answers before the first request.
type Server struct {
	*httptest.Server
	// Answers are by the operation's name. Others are refused.
	Answers map[string]Answer
	// Header is added to all answers, also to those of requests without an operation.
	Header http.Header

	kinesis *httputil.ReverseProxy

	mu       sync.Mutex
	requests map[string]string // the body of each operation's last request
}

// Start returns a server. Kinesis' operations without an answer go to another server.
func Start(answers map[string]Answer, kinesis string) (*Server, error) {
	to, err := url.Parse(kinesis)
	if err != nil {
		return nil, err
	}
	s := &Server{Answers: answers, Header: http.Header{}, kinesis: httputil.NewSingleHostReverseProxy(to), requests: map[string]string{}}
	s.Server = httptest.NewServer(s)
	return s, nil
}

// Request returns the body of an operation's last request; "" if there was none.
func (s *Server) Request(operation string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[operation]
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a broken request gets a wrong answer
	operation, xml := operationOf(r, string(body))
	s.mu.Lock()
	s.requests[operation] = string(body)
	a, ok := s.Answers[operation]
	s.mu.Unlock()
	for name, values := range s.Header {
		w.Header()[name] = values
	}
	switch {
	case !ok && strings.HasPrefix(r.Header.Get("X-Amz-Target"), "Kinesis_"):
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		s.kinesis.ServeHTTP(w, r)
		return
	case !ok:
		a = Answer{Code: "UnknownOperationException", Message: operation}
	case a.Hang:
		<-r.Context().Done()
		return
	}
	switch {
	case a.Code != "" && xml:
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "<ErrorResponse><Error><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", a.Code, a.Message)
	case a.Code != "":
		w.Header().Set("X-Amzn-ErrorType", a.Code)
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":%q,"message":%q}`, a.Code, a.Message)
	case xml:
		fmt.Fprintf(w, "<%sResponse><%[1]sResult>%s</%[1]sResult></%[1]sResponse>", operation, a.Body)
	default:
		_, _ = io.WriteString(w, a.Body)
	}
}

// operationOf returns the name of a request's operation, and whether its protocol is
// XML.
func operationOf(r *http.Request, body string) (operation string, xml bool) {
	if _, name, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		return name, false
	}
	switch {
	case r.URL.Path == "/2018-10-31/layers":
		return "GetLayerVersionByArn", false
	case strings.HasPrefix(r.URL.Path, "/2015-03-31/functions/"):
		return "GetFunctionConfiguration", false
	}
	form, _ := url.ParseQuery(body)
	return form.Get("Action"), form.Has("Action")
}
