package kinesis_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"

	"github.com/kinetel/kinetel/kinesissim"
)

// BenchmarkHandshake measures what ML-KEM costs a cold start: a handshake with and
// without it, both sides in this process.
func BenchmarkHandshake(b *testing.B) {
	sim, err := kinesissim.Start(b.Context(), kinesissim.Config{TLS: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = sim.Close() })
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(sim.CertificatePEM())
	address := sim.URL()[len("https://"):]
	for name, curves := range map[string][]tls.CurveID{
		"with X25519MLKEM768":    nil,
		"without X25519MLKEM768": {tls.X25519, tls.CurveP256, tls.CurveP384},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				plain, err := net.Dial("tcp", address)
				if err != nil {
					b.Fatal(err)
				}
				conn := tls.Client(plain, &tls.Config{RootCAs: roots, ServerName: "localhost", CurvePreferences: curves})
				if err := conn.Handshake(); err != nil {
					b.Fatal(err)
				}
				_ = conn.Close()
			}
		})
	}
}
