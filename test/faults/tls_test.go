package faults

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/test/firewall"
)

// overTLS has Kinesis serve HTTPS.
func overTLS(c *kinesissim.Config) { c.TLS = true }

// trusted has the extension trust Kinesis' certificate.
func (s *scenario) trusted() {
	s.Helper()
	s.env["AWS_CA_BUNDLE"] = filepath.Join(s.TempDir(), "ca.pem")
	if err := os.WriteFile(s.env["AWS_CA_BUNDLE"], s.kinesis.CertificatePEM(), 0o600); err != nil {
		s.Fatal(err)
	}
}

// largeHello is a firewall that drops a ClientHello of more than one TCP segment.
func largeHello(s *scenario, _ uint64) {
	wall, err := firewall.Start(strings.TrimPrefix(s.kinesis.URL(), "https://"))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(wall.Close)
	s.trusted()
	s.env["AWS_ENDPOINT_URL_KINESIS"] = "https://" + wall.Addr
	r := s.start()
	s.traffic(r)
	s.invokeUntil(r, "a record", func() bool { return s.kinesis.Stats().Records > 0 })
	s.shutdown(r)
	s.requireFault(wall.Large.Load() > 0)
	if wall.Large.Load() > 1 {
		s.Errorf("%d large ClientHellos: that they are dropped is not remembered", wall.Large.Load())
	}
	if log := s.log(); strings.Count(log, "X25519MLKEM768 failed") != 1 || strings.Contains(log, "NAT gateway") {
		s.Errorf("the extension logged:\n%s", log)
	}
}

// fipsOnly is Go's FIPS mode at its strictest, with the one format that has an MD5.
func fipsOnly(s *scenario, _ uint64) {
	s.trusted()
	s.env["GODEBUG"] = "fips140=only"
	s.env["KINETEL_FORMAT"] = "kpl"
	r := s.start()
	s.traffic(r)
	s.shutdown(r)
	if log := s.log(); log != "" {
		s.Errorf("the extension logged:\n%s", log)
	}
}

// sessionToken stands for the one that Lambda gives.
const sessionToken = "IQoJb3JpZ2luX2VjEHoaCXVzLWVhc3QtMSJHMEUCIQD/3k+aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789/ZyXwVuTsRqPoNmLkJiHgFeDcBa=="

// mismatch is how AWS answers a wrong signature: it repeats the request's headers.
func mismatch() *kinesissim.Answer {
	return kinesissim.Refuse(403, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request should have been\n'POST\n/\n\ncontent-type:application/x-amz-json-1.1\nx-amz-security-token:"+sessionToken+"\n'")
}

// wrongSignature is a refusal that repeats the session token, which must be in no
// line of the log.
func wrongSignature(s *scenario, _ uint64) {
	s.env["AWS_SESSION_TOKEN"] = sessionToken
	refused(mismatch)(s, 0)
	if log := s.log(); strings.Contains(log, "Canonical") || strings.Contains(log, sessionToken[:20]) || !strings.Contains(log, "does not match the signature you provided.") {
		s.Errorf("the extension logged:\n%s", log)
	}
}
