package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
)

// parseBytes reads a size, such as 64MiB; without a unit it is in bytes. The empty text is
// 0.
func parseBytes(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number := strings.TrimRight(text, "KMGiB")
	unit, known := map[string]float64{"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[text[len(number):]]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !known || !(n > 0 && n*unit < math.MaxInt64) {
		return 0, fmt.Errorf("--max-memory is %q: it must be a size, such as 64MiB or 50MB", text)
	}
	return int64(n * unit), nil
}

// readVariables reads --env-file and then --env.
func readVariables(env, files []string) (map[string]string, error) {
	variables := map[string]string{}
	set := func(flag, text string) error {
		name, value, given := strings.Cut(text, "=")
		if name == "" || strings.ContainsAny(name, " \t") || strings.Contains(text, "\x00") {
			return fmt.Errorf("%s %q: it must be NAME=VALUE", flag, text)
		}
		if !given {
			if value, given = os.LookupEnv(name); !given {
				return fmt.Errorf("%s %s: your shell has no such variable; write %s=VALUE", flag, name, name)
			}
		}
		variables[name] = value
		return nil
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("--env-file: %w", err)
		}
		lines := bufio.NewScanner(f)
		for err == nil && lines.Scan() {
			if line := strings.TrimSpace(lines.Text()); line != "" && line[0] != '#' {
				err = set("--env-file "+file+":", strings.TrimPrefix(line, "export "))
			}
		}
		if err = errors.Join(err, lines.Err(), f.Close()); err != nil {
			return nil, err
		}
	}
	for _, text := range env {
		if err := set("--env", text); err != nil {
			return nil, err
		}
	}
	return variables, nil
}

// payload reads the event.
func (c *runCommand) payload(stdin io.Reader) ([]byte, error) {
	const most = 6 << 20 // of Lambda
	text := strings.TrimSpace(c.event)
	var payload []byte
	var err error
	switch {
	case text == "-":
		payload, err = io.ReadAll(io.LimitReader(stdin, most+1))
	case json.Valid([]byte(text)):
		payload = []byte(text)
	default:
		if payload, err = readFile(c.event, most+1); err != nil {
			err = fmt.Errorf("it is neither JSON nor a file: %w", err)
		}
	}
	switch {
	case err != nil:
	case len(payload) > most:
		err = fmt.Errorf("it has more than the %d bytes that Lambda accepts", most)
	case !json.Valid(payload):
		err = errors.New("it is not JSON")
	}
	if err != nil {
		return nil, fmt.Errorf("--event %.80s: %w", c.event, err)
	}
	return payload, nil
}

// readFile reads the first bytes of a file.
func readFile(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}
