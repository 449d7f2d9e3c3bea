package generate

import (
	"crypto"
	"crypto/dsa" //nolint:staticcheck // as templates ask for it
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/bundle"
)

// The lengths of RSA keys, as Helm makes them.
const (
	keyBits         = 4096 // genPrivateKey
	certificateBits = 2048
)

// Errors of keys and certificates quote nothing of them.
var (
	errKey         = errors.New("the private key cannot be read")
	errKeyType     = errors.New("such a private key cannot sign a certificate")
	errCertificate = errors.New("the certificate of the authority cannot be read")
)

// makeCertificate returns a certificate and its key in PEM, with the fields that Helm gives them.
func makeCertificate(function string, args []any) ([]string, error) {
	own, withKey := strings.CutSuffix(function, "WithKey")
	var key crypto.Signer
	var err error
	if withKey {
		key, err = readKey(args[len(args)-1].(string))
	} else {
		key, err = rsa.GenerateKey(rand.Reader, certificateBits)
	}
	if err != nil {
		return nil, err
	}
	c, err := newCertificate(own, args)
	if err != nil {
		return nil, err
	}
	parent, signer := c, key
	if own == "genSignedCert" {
		if parent, signer, err = readAuthority(args[4].(bundle.Certificate)); err != nil {
			return nil, err
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		return nil, errKeyType
	}
	text, err := encodeKey(key)
	return []string{encodePEM("CERTIFICATE", der), text}, err
}

// newCertificate returns a certificate without a key.
func newCertificate(function string, args []any) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: args[0].(string)}, NotBefore: now,
		KeyUsage:              x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	days := args[1]
	if function == "genCA" {
		c.KeyUsage |= x509.KeyUsageCertSign
		c.IsCA = true
	} else {
		days = args[3]
		for _, address := range args[1].([]string) {
			c.IPAddresses = append(c.IPAddresses, net.ParseIP(address))
		}
		c.DNSNames = args[2].([]string)
	}
	c.NotAfter = now.Add(24 * time.Hour * time.Duration(days.(int)))
	return c, nil
}

// readAuthority returns a certificate that signs others, and its key.
func readAuthority(c bundle.Certificate) (*x509.Certificate, crypto.Signer, error) {
	parsed := certificateIn(c.Cert)
	if parsed == nil {
		return nil, nil, errCertificate
	}
	key, err := readKey(c.Key)
	return parsed, key, err
}

// certificateIn returns the first certificate in a PEM text, which may be indented; nil if there is none.
func certificateIn(text string) *x509.Certificate {
	block, _ := pem.Decode([]byte(outdent(text)))
	if block == nil {
		return nil
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return c
}

// makeKey returns a private key in PEM.
func makeKey(kind string) (string, error) {
	switch kind {
	case "dsa":
		return makeDSAKey()
	case "ecdsa":
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return "", err
		}
		return encodeKey(key)
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return "", err
		}
		return encodeKey(key)
	}
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return "", err
	}
	return encodeKey(key)
}

// makeDSAKey returns a key in the form of OpenSSL.
func makeDSAKey() (string, error) {
	var key dsa.PrivateKey
	if err := dsa.GenerateParameters(&key.Parameters, rand.Reader, dsa.L2048N256); err != nil {
		return "", err
	}
	if err := dsa.GenerateKey(&key, rand.Reader); err != nil {
		return "", err
	}
	der, err := asn1.Marshal(struct {
		Version       int
		P, Q, G, Y, X *big.Int
	}{0, key.P, key.Q, key.G, key.Y, key.X})
	return encodePEM("DSA PRIVATE KEY", der), err
}

// encodeKey returns a private key in PEM, in the form of its type.
func encodeKey(key crypto.Signer) (string, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return encodePEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), nil
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(key)
		return encodePEM("EC PRIVATE KEY", der), err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return encodePEM("PRIVATE KEY", der), err
}

// readKey returns the private key in a PEM text, which may be indented.
func readKey(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(outdent(text)))
	if block == nil {
		return nil, errKey
	}
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, errKey
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errKeyType
	}
	return signer, nil
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
