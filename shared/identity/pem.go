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

// NewKey makes a private key for an identity: ECDSA P-256.
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

// ParseKey reads one private key from PEM (PKCS#8).
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

// MarshalCertificates returns certificates (DER) as PEM, one after the other.
func MarshalCertificates(der ...[]byte) []byte {
	var b bytes.Buffer
	for _, certificate := range der {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	}
	return b.Bytes()
}

// ParseCertificates reads at least one certificate from PEM, and nothing else.
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

// Pair joins a private key and the chain (DER, leaf first) that was issued for it. The leaf must have the key's public
// half.
func Pair(key crypto.Signer, chainDER [][]byte) (tls.Certificate, error) {
	if len(chainDER) == 0 {
		return tls.Certificate{}, errors.New("pair a key with its certificate: there is none")
	}
	leaf, err := x509.ParseCertificate(chainDER[0])
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("pair a key with its certificate: %w", err)
	}
	if !equalKeys(leaf.PublicKey, key.Public()) {
		return tls.Certificate{}, errors.New("pair a key with its certificate: the certificate is for another key")
	}
	return tls.Certificate{Certificate: chainDER, PrivateKey: key, Leaf: leaf}, nil
}
