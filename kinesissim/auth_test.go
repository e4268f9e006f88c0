package kinesissim_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/kinetel/kinetel/kinesissim"
)

func signing(t *testing.T) (*kinesissim.Server, *fakeClock) {
	t.Helper()
	clock := newClock()
	return start(t, kinesissim.Config{
		Now: clock.Now, Streams: []kinesissim.Stream{{Name: "s"}},
		Credentials:   map[string]string{"AKIDEXAMPLE": "secret", "AKIDOTHER": "other"},
		ExpiredTokens: []string{"old"},
	}), clock
}

// signedRequest is a request of PutRecord, signed at the time of a clock.
func signedRequest(t *testing.T, sim *kinesissim.Server, creds aws.Credentials, region, service string, at time.Time, prepare ...func(*http.Request)) *http.Request {
	t.Helper()
	body := []byte(`{"StreamName":"s","PartitionKey":"k","Data":"QQ=="}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sim.URL()+"/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "Kinesis_20131202.PutRecord")
	for _, f := range prepare {
		f(req)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, req, hex.EncodeToString(sum[:]), service, region, at); err != nil {
		t.Fatal(err)
	}
	return req
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	sim, clock := signing(t)
	hc, now := httpClient(t, nil), clock.Now()
	good := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}
	with := func(change func(*aws.Credentials)) aws.Credentials {
		c := good
		change(&c)
		return c
	}
	replace := func(from, to string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
		}
	}
	newBody := func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(`{"StreamName":"s","PartitionKey":"k","Data":"Qg=="}`))
	}
	const invalid, incomplete = "InvalidSignatureException", "IncompleteSignatureException"
	for _, tc := range []struct {
		name            string
		creds           aws.Credentials
		region, service string
		at              time.Time
		prepare         func(*http.Request)
		spoil           func(*http.Request)
		code, message   string
	}{
		{name: "a good signature", creds: good},
		{name: "another good key", creds: aws.Credentials{AccessKeyID: "AKIDOTHER", SecretAccessKey: "other"}},
		{name: "with a session token", creds: with(func(c *aws.Credentials) { c.SessionToken = "new" })},
		{name: "with further headers", creds: good, prepare: func(r *http.Request) {
			r.Header.Set("X-Amz-Meta", "  two   spaces ")
			r.Header["X-Custom"] = []string{"a", "b"}
		}},
		{name: "not signed headers changed", creds: good, spoil: func(r *http.Request) { r.Header.Set("X-Other", "x") }},
		{name: "almost 5 minutes ago", creds: good, at: now.Add(-5 * time.Minute)},
		{name: "almost 5 minutes ahead", creds: good, at: now.Add(5 * time.Minute)},

		{name: "no signature", creds: good, spoil: func(r *http.Request) { r.Header.Del("Authorization") }, code: "MissingAuthenticationTokenException", message: "Missing Authentication Token"},
		{name: "an unknown key", creds: with(func(c *aws.Credentials) { c.AccessKeyID = "AKIDNOBODY" }), code: "UnrecognizedClientException", message: "The security token included in the request is invalid."},
		{name: "another's secret", creds: with(func(c *aws.Credentials) { c.SecretAccessKey = "other" }), code: invalid, message: "The request signature we calculated does not match the signature you provided."},
		{name: "a changed body", creds: good, spoil: newBody, code: invalid, message: "does not match"},
		{name: "a changed operation", creds: good, spoil: func(r *http.Request) { r.Header.Set("X-Amz-Target", "Kinesis_20131202.PutRecords") }, code: invalid, message: "does not match"},
		{name: "a changed query", creds: good, spoil: func(r *http.Request) { r.URL.RawQuery = "x=y" }, code: invalid, message: "does not match"},
		{name: "a changed host", creds: good, spoil: func(r *http.Request) { r.Host = "kinesis.eu-west-1.amazonaws.com" }, code: invalid, message: "does not match"},
		{name: "a cut signature", creds: good, spoil: func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:len(a)-1])
		}, code: invalid, message: "does not match"},
		{name: "a token not signed", creds: good, spoil: func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "x") }, code: invalid, message: "'X-Amz-Security-Token' must be a 'SignedHeader'"},
		{name: "the host not signed", creds: good, spoil: replace(";host;", ";"), code: invalid, message: "'Host' must be a 'SignedHeader'"},
		{name: "another region", creds: good, region: "eu-west-2", code: invalid, message: "Credential should be scoped to a valid region, not 'eu-west-2'."},
		{name: "another service", creds: good, service: "firehose", code: invalid, message: "Credential should be scoped to correct service: 'kinesis'."},
		{name: "another terminator", creds: good, spoil: replace("aws4_request", "aws5_request"), code: invalid, message: "valid terminator"},
		{name: "another date", creds: good, spoil: replace("/20261122/", "/20261123/"), code: invalid, message: "'20261123' != '20261122', from '20261122T201500Z'"},
		{name: "too old", creds: good, at: now.Add(-5*time.Minute - time.Second), code: invalid, message: "Signature expired: 20261122T200959Z is now earlier than 20261122T201000Z (20261122T201500Z - 5 min.)"},
		{name: "too new", creds: good, at: now.Add(5*time.Minute + time.Second), code: invalid, message: "Signature not yet current: 20261122T202001Z is still later than 20261122T202000Z (20261122T201500Z + 5 min.)"},
		{name: "an expired token", creds: with(func(c *aws.Credentials) { c.SessionToken = "old" }), code: "ExpiredTokenException", message: "The security token included in the request is expired"},
		{name: "no date", creds: good, spoil: func(r *http.Request) { r.Header.Del("X-Amz-Date") }, code: incomplete, message: "'X-Amz-Date'"},
		{name: "another algorithm", creds: good, spoil: replace("AWS4-HMAC-SHA256", "Basic"), code: incomplete, message: "Unsupported AWS 'algorithm': 'Basic'"},
		{name: "parts missing", creds: good, spoil: func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=x") }, code: incomplete, message: "Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter."},
		{name: "a short credential", creds: good, spoil: replace("/eu-west-1/", "/"), code: incomplete, message: "exactly 5 slash-delimited elements"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			region, service, at := "eu-west-1", "kinesis", now
			if tc.region != "" {
				region = tc.region
			}
			if tc.service != "" {
				service = tc.service
			}
			if !tc.at.IsZero() {
				at = tc.at
			}
			var prepare []func(*http.Request)
			if tc.prepare != nil {
				prepare = append(prepare, tc.prepare)
			}
			req := signedRequest(t, sim, tc.creds, region, service, at, prepare...)
			if tc.spoil != nil {
				tc.spoil(req)
			}
			before := len(sim.Records("s"))
			resp, err := hc.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var got struct {
				Type    string `json:"__type"`
				Message string
			}
			if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
				t.Fatal(err)
			}
			stored := len(sim.Records("s")) - before
			if got.Type != tc.code || (tc.code == "") != (resp.StatusCode == 200) || (tc.code == "") != (stored == 1) {
				t.Fatalf("status %d, %s: %s; %d stored", resp.StatusCode, got.Type, got.Message, stored)
			}
			contains(t, got.Message, tc.message)
		})
	}
}

// The SDK's own requests pass, and their errors arrive with their codes.
func TestSignaturesOfTheSDK(t *testing.T) {
	t.Parallel()
	sim := start(t, kinesissim.Config{
		Streams:     []kinesissim.Stream{{Name: "s"}},
		Credentials: map[string]string{"AKIDEXAMPLE": "secret"},
	})
	as := func(id, secret, token string) *kinesis.Client {
		return client(t, sim, func(o *kinesis.Options) {
			o.Credentials = credentials.NewStaticCredentialsProvider(id, secret, token)
		})
	}
	ctx := t.Context()
	must[*kinesis.PutRecordOutput](t)(put(ctx, as("AKIDEXAMPLE", "secret", ""), "s", "k", []byte("x")))
	must[*kinesis.PutRecordOutput](t)(put(ctx, as("AKIDEXAMPLE", "secret", "token"), "s", "k", []byte("x")))
	sim.ExpireToken("token")
	_, err := put(ctx, as("AKIDEXAMPLE", "secret", "token"), "s", "k", []byte("x"))
	wantCode(t, err, "ExpiredTokenException")
	_, err = put(ctx, as("AKIDEXAMPLE", "wrong", ""), "s", "k", []byte("x"))
	wantCode(t, err, "InvalidSignatureException")
	_, err = put(ctx, as("AKIDNEW", "new", ""), "s", "k", []byte("x"))
	wantCode(t, err, "UnrecognizedClientException")

	sim.SetCredentials(map[string]string{"AKIDNEW": "new"})
	must[*kinesis.PutRecordOutput](t)(put(ctx, as("AKIDNEW", "new", ""), "s", "k", []byte("x")))
	_, err = put(ctx, as("AKIDEXAMPLE", "secret", ""), "s", "k", []byte("x"))
	wantCode(t, err, "UnrecognizedClientException")

	sim.SetCredentials(nil)
	must[*kinesis.PutRecordOutput](t)(put(ctx, as("anyone", "anything", ""), "s", "k", []byte("x")))
	_, err = put(ctx, as("anyone", "anything", "token"), "s", "k", []byte("x"))
	wantCode(t, err, "ExpiredTokenException")
}
