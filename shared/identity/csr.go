package identity

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
)

// MaxCSRBytes is the largest certificate request that ParseCSR reads, in bytes. NewCSR returns about 220 bytes.
const MaxCSRBytes = 8 << 10

// NewCSR returns a certificate request (DER, PKCS#10) for a key. The request has no name: the hub takes the name from
// the join token, or from the certificate that is renewed.
func NewCSR(key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	return der, nil
}

// ParseCSR returns the public key of a certificate request (DER). If the sender has not signed the request with the
// private key, the key is neither ECDSA P-256 or P-384 nor Ed25519, or the request has a name or an extension, ParseCSR
// returns an error.
func ParseCSR(der []byte) (crypto.PublicKey, error) {
	if len(der) > MaxCSRBytes {
		return nil, fmt.Errorf("certificate request of %d bytes: more than %d", len(der), MaxCSRBytes)
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	if len(request.Subject.Names) > 0 || len(request.Extensions) > 0 {
		return nil, errors.New("certificate request: it asks for names or extensions, which are the hub's to give")
	}
	if err := checkKey(request.PublicKey); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	return request.PublicKey, nil
}
