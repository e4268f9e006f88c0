package lambdasim

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The credentials endpoint, which SnapStart functions have instead of keys in
// their environment: keys in a snapshot would soon be old. Path and shape are
// those of the aws-lambda-runtime-interface-emulator; the variables that lead
// there are known to all AWS SDKs.

const credentialsPath = "/2021-04-23/credentials"

// credentials are what the endpoint gives.
type credentials struct {
	token  string // that processes must show
	source func() (id, secret, token string, expires time.Time)

	mu sync.Mutex // one call of source at a time
}

// newCredentials takes the source from the configuration, or makes one.
func newCredentials(cfg *Config) *credentials {
	c := &credentials{token: randomHex(16), source: cfg.Credentials}
	if c.source == nil {
		c.source = (&keys{
			id:       cmp.Or(cfg.Env["AWS_ACCESS_KEY_ID"], dummyAccessKey),
			secret:   cmp.Or(cfg.Env["AWS_SECRET_ACCESS_KEY"], dummySecretKey),
			token:    cmp.Or(cfg.Env["AWS_SESSION_TOKEN"], dummySessionToken),
			lifetime: cfg.CredentialsLifetime,
		}).next
	}
	return c
}

// keys are the configured ones, and with a lifetime others when they expired.
type keys struct {
	id, secret, token string
	lifetime          time.Duration // 0: they stay the same

	number  int // how often they expired
	expires time.Time
}

func (k *keys) next() (id, secret, token string, expires time.Time) {
	now := time.Now()
	if k.lifetime == 0 {
		return k.id, k.secret, k.token, now.Add(time.Hour)
	}
	if !now.Before(k.expires) {
		if !k.expires.IsZero() {
			k.number++
		}
		k.expires = now.Add(k.lifetime)
	}
	if k.number == 0 {
		return k.id, k.secret, k.token, k.expires
	}
	suffix := "-" + strconv.Itoa(k.number)
	return k.id + suffix, k.secret + suffix, k.token + suffix, k.expires
}

func (s *Sandbox) serveCredentials(w http.ResponseWriter, r *http.Request) {
	shown := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if subtle.ConstantTimeCompare([]byte(shown), []byte(s.credentials.token)) != 1 {
		// The emulator's answer.
		s.notice(Notice{Kind: NoticeRefused, Detail: "GET " + r.URL.Path + ": not the token"})
		http.Error(w, "cannot get credentials for the provided token", http.StatusNotFound)
		return
	}
	s.credentials.mu.Lock()
	id, secret, token, expires := s.credentials.source()
	s.credentials.mu.Unlock()
	body, err := json.Marshal(struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      string
	}{id, secret, token, expires.UTC().Format(time.RFC3339)})
	if err != nil {
		// Strings only: they encode.
		panic("lambdasim: " + err.Error())
	}
	answer(w, http.StatusOK, body)
	s.notice(Notice{Kind: NoticeCredentials, Detail: id + " until " + isoTime(expires)})
}
