package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// NewKey returns a new private key for an identity: ECDSA P-256.
func NewKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a private key: %w", err)
	}
	return key, nil
}

// MarshalKey returns a private key as PEM (PKCS#8).
func MarshalKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseKey returns the private key in a PEM text (PKCS#8). If the text holds anything else than one key of ECDSA P-256
// or P-384, or of Ed25519, ParseKey returns an error.
func ParseKey(text []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("read a private key: want one PEM block PRIVATE KEY")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read a private key: %w", err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("read a private key: a %T cannot sign", parsed)
	}
	if err := checkKey(key.Public()); err != nil {
		return nil, fmt.Errorf("read a private key: %w", err)
	}
	return key, nil
}

// MarshalCertificates returns certificates (DER) as PEM blocks, in the same order.
func MarshalCertificates(der ...[]byte) []byte {
	var b bytes.Buffer
	for _, certificate := range der {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	}
	return b.Bytes()
}

// ParseCertificates returns the certificates in a PEM text. If the text holds no certificate, or anything else,
// ParseCertificates returns an error.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for rest := text; len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("read certificate %d: no PEM block CERTIFICATE", len(certificates)+1)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificate %d: %w", len(certificates)+1, err)
		}
		certificates = append(certificates, certificate)
	}
	if len(certificates) == 0 {
		return nil, errors.New("read certificates: there is none")
	}
	return certificates, nil
}

// Pair returns a private key with its certificate chain (DER, leaf first). If the leaf is not for the key, Pair returns
// an error.
func Pair(key crypto.Signer, chainDER [][]byte) (tls.Certificate, error) {
	if len(chainDER) == 0 {
		return tls.Certificate{}, errors.New("pair a key with its certificate: there is none")
	}
	leaf, err := x509.ParseCertificate(chainDER[0])
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("pair a key with its certificate: %w", err)
	}
	if !isKeyOf(key, leaf) {
		return tls.Certificate{}, errors.New("pair a key with its certificate: the certificate is for another key")
	}
	return tls.Certificate{Certificate: chainDER, PrivateKey: key, Leaf: leaf}, nil
}
