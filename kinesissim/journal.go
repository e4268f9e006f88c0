package kinesissim

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// journal is the file of Config.Dir. Each line is a checksum and a request that changed
// something. The same requests at the same times give the same state, with the same
// sequence numbers, so a server that starts carries them out again.
type journal struct {
	mu   sync.Mutex // taken before Server.mu, so that the lines are in order
	file *os.File
	err  error // of the first write that failed; nothing may change after it
}

// journaled is one line.
type journaled struct {
	At        time.Time
	Operation string
	Failed    []int           `json:",omitempty"` // records of a PutRecords that were not stored
	Body      json.RawMessage // the request
}

// carryOut runs an operation, and writes it to the journal if it has changed something.
func (s *Server) carryOut(x *exchange) (any, *apiError) {
	x.codes = x.failCodes()
	if s.journal == nil || x.onlyReads() {
		x.at = s.cfg.Now()
		return x.op.run(s, x)
	}
	j := s.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return nil, j.failure()
	}
	x.at = s.cfg.Now()
	out, failure := x.op.run(s, x)
	if failure != nil {
		return nil, failure
	}
	if j.err = j.append(journaled{x.at, x.Operation, x.failed, x.body}); j.err != nil {
		return nil, j.failure()
	}
	return out, nil
}

func (x *exchange) onlyReads() bool {
	for _, verb := range []string{"Describe", "Get", "List", "Subscribe"} {
		if strings.HasPrefix(x.Operation, verb) {
			return true
		}
	}
	return false
}

func (j *journal) failure() *apiError {
	return asRequestError(internalFailure, fmt.Sprintf("kinesissim: nothing can change, because the journal cannot be written: %v", j.err))
}

func (j *journal) append(entry journaled) error {
	text, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	_, err = j.file.Write(fmt.Appendf(nil, "%08x %s\n", checksum(text), text))
	return err
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// openJournal opens the journal of a folder, and carries out what it contains.
func (s *Server) openJournal(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(dir, "kinesis.journal"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if err := s.replayAll(file); err != nil {
		file.Close()
		return fmt.Errorf("%s: %w", file.Name(), err)
	}
	s.journal = &journal{file: file}
	return nil
}

// replayAll carries out what the journal contains, and cuts off a last line without an end.
func (s *Server) replayAll(file *os.File) error {
	if err := lock(file); err != nil {
		return fmt.Errorf("another Kinesis uses the folder: %w", err)
	}
	lines, good := bufio.NewReader(file), int64(0)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		entry, broken := parseJournaled(line)
		if broken != nil {
			if _, err := lines.Peek(1); err == io.EOF {
				return file.Truncate(good) // the server was killed while it wrote the line
			}
			return fmt.Errorf("line %d is corrupt (%w): to lose it and what follows, cut the file after %d bytes", n, broken, good)
		}
		if failure := s.replay(entry); failure != nil {
			return fmt.Errorf("line %d: %w; was the folder made with another region or account?", n, failure)
		}
		good += int64(len(line))
	}
}

func parseJournaled(line []byte) (entry journaled, err error) {
	sum, text, _ := strings.Cut(string(line), " ")
	text, whole := strings.CutSuffix(text, "\n")
	if !whole {
		return entry, errors.New("it has no end")
	}
	if want, err := strconv.ParseUint(sum, 16, 32); err != nil || uint32(want) != checksum([]byte(text)) {
		return entry, errors.New("its checksum does not match")
	}
	return entry, json.Unmarshal([]byte(text), &entry)
}

// replay carries a request of the journal out. It returns nil or an *apiError.
func (s *Server) replay(entry journaled) error {
	x, failure := s.newRequest(entry.Operation, entry.Body)
	if failure != nil {
		return failure
	}
	x.at, x.codes = entry.At, make([]string, len(x.entries))
	for _, i := range entry.Failed {
		x.codes[i] = throughputExceeded
	}
	if _, failure := x.op.run(s, x); failure != nil {
		return failure
	}
	return nil
}

// newRequest returns a request that no client has sent.
func (s *Server) newRequest(operation string, body []byte) (*exchange, *apiError) {
	empty := s.operations[operation]
	if empty == nil {
		return nil, s.unknownOperation(operation)
	}
	x := &exchange{answer: &Answer{}, op: empty(), body: body, Observation: Observation{Operation: operation}}
	if failure := x.decode(); failure != nil {
		return nil, failure
	}
	var wrong violations
	x.op.validate(&wrong)
	return x, wrong.err()
}

// execute carries out a request of the program that runs the server.
func (s *Server) execute(operation string, members map[string]any) error {
	body, err := json.Marshal(members)
	if err != nil {
		return err
	}
	x, failure := s.newRequest(operation, body)
	if failure == nil {
		_, failure = s.carryOut(x)
	}
	if failure != nil {
		return failure
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announceLocked()
	return nil
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return errors.Join(j.file.Sync(), j.file.Close())
}
