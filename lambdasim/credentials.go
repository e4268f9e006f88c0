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

// Credentials are the keys that the credentials endpoint of a SnapStart function answers.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Expires                                    time.Time
}

// credentials are what the endpoint gives.
type credentials struct {
	token  string // that processes must show
	source func() Credentials

	mu sync.Mutex // one call of source at a time
}

// newCredentials takes the source from the configuration, or makes one.
func newCredentials(cfg *Config) *credentials {
	c := &credentials{token: randomHex(16), source: cfg.Credentials}
	if c.source == nil {
		c.source = (&keys{
			configured: Credentials{
				AccessKeyID:     cmp.Or(cfg.Env["AWS_ACCESS_KEY_ID"], dummyAccessKey),
				SecretAccessKey: cmp.Or(cfg.Env["AWS_SECRET_ACCESS_KEY"], dummySecretKey),
				SessionToken:    cmp.Or(cfg.Env["AWS_SESSION_TOKEN"], dummySessionToken),
			},
			lifetime: cfg.CredentialsLifetime,
		}).next
	}
	return c
}

// keys are the configured ones, and with a lifetime others when they expired.
type keys struct {
	configured Credentials
	lifetime   time.Duration // 0: they stay the same

	number  int // how often they expired
	expires time.Time
}

func (k *keys) next() Credentials {
	now, c := time.Now(), k.configured
	if k.lifetime == 0 {
		c.Expires = now.Add(time.Hour)
		return c
	}
	if !now.Before(k.expires) {
		if !k.expires.IsZero() {
			k.number++
		}
		k.expires = now.Add(k.lifetime)
	}
	c.Expires = k.expires
	if k.number > 0 {
		suffix := "-" + strconv.Itoa(k.number)
		c.AccessKeyID, c.SecretAccessKey, c.SessionToken = c.AccessKeyID+suffix, c.SecretAccessKey+suffix, c.SessionToken+suffix
	}
	return c
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
	c := s.credentials.source()
	s.credentials.mu.Unlock()
	body, err := json.Marshal(struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      string
	}{c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.Expires.UTC().Format(time.RFC3339)})
	if err != nil {
		// Strings only: they encode.
		panic("lambdasim: " + err.Error())
	}
	answer(w, http.StatusOK, body)
	s.notice(Notice{Kind: NoticeCredentials, Detail: c.AccessKeyID + " until " + isoTime(c.Expires)})
}
