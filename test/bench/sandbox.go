package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
)

// started is an extension in the local Lambda, with the sample function.
type started struct {
	*lambdasim.Sandbox
	kinesis *kinesissim.Server
	name    string
	spool   string
}

// start starts an extension in the local Lambda. The caller closes it.
func (b *bench) start(ctx context.Context, extension string, env map[string]string, answer *kinesissim.Answer) (*started, error) {
	kinesis, err := kinesissim.Start(ctx, kinesissim.Config{
		Streams: []kinesissim.Stream{{Name: stream, Shards: 1}}, Intercept: kinesissim.AnswerAll(answer),
	})
	if err != nil {
		return nil, err
	}
	s := &started{kinesis: kinesis, name: filepath.Base(extension)}
	if s.spool, err = os.MkdirTemp("", "kinetel-bench-"); err != nil {
		return nil, errors.Join(err, kinesis.Close())
	}
	all := map[string]string{"KINETEL_STREAM_NAME": stream, "AWS_ENDPOINT_URL_KINESIS": kinesis.URL(), "KINETEL_SPOOL_DIR": s.spool}
	maps.Copy(all, env)
	s.Sandbox, err = lambdasim.Start(ctx, lambdasim.Config{
		Function: lambdasim.Process{Path: b.function}, Extensions: []lambdasim.Process{{Path: extension}}, Timeout: time.Minute, Env: all,
	})
	if err != nil {
		return nil, errors.Join(err, kinesis.Close(), os.RemoveAll(s.spool))
	}
	return s, nil
}

// invoke invokes the function. Its lines are text and JSON in turn.
func (s *started) invoke(ctx context.Context, lines, bytes int) (lambdasim.Result, error) {
	result, err := s.Invoke(ctx, fmt.Appendf(nil, `{"id":"bench","lines":%d,"bytes":%d,"format":"mixed"}`, lines, bytes))
	if err == nil && result.Status != lambdasim.StatusSuccess {
		err = fmt.Errorf("an invocation ended with %s %s", result.Status, result.ErrorType)
	}
	return result, err
}

// process describes the extension's process.
func (s *started) process() (lambdasim.ProcessReport, error) {
	for _, p := range s.Processes() {
		if p.Name == s.name {
			return p, nil
		}
	}
	return lambdasim.ProcessReport{}, errors.New("the local Lambda has no process " + s.name)
}

// end shuts the sandbox down, and returns the figures of the extension's process.
func (s *started) end(ctx context.Context) (p lambdasim.ProcessReport, err error) {
	if _, err = s.Shutdown(ctx); err == nil {
		p, err = s.process()
	}
	if err == nil && p.ExitCode != 0 {
		err = fmt.Errorf("%s ended with status %d", p.Name, p.ExitCode)
	}
	return p, err
}

// close ends what start has started.
func (s *started) close(ctx context.Context) {
	_, _ = s.Shutdown(context.WithoutCancel(ctx)) // it may have ended
	_ = s.kinesis.Close()                         // in memory
	_ = os.RemoveAll(s.spool)
}
