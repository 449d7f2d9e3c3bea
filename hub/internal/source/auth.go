package source

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// Auth is the credentials of one source. A fetcher uses the fields that its protocol knows. The names of caches are
// hashes of all fields in their order.
type Auth struct {
	Username, Password string
	BearerToken        string
	// CA, ClientCert and ClientKey are PEM. The authorities of CA are trusted beside those of the system.
	CA, ClientCert, ClientKey []byte
	// Identity is a private key, PEM or OpenSSH, IdentityPassword its passphrase, KnownHosts lines of a known_hosts file.
	Identity, IdentityPassword, KnownHosts []byte
}

// LogValue keeps credentials out of logs.
func (Auth) LogValue() slog.Value { return slog.StringValue("(credentials)") }

// String keeps credentials out of messages.
func (Auth) String() string { return "(credentials)" }

// GoString keeps credentials out of messages.
func (Auth) GoString() string { return "(credentials)" }

// ReadHTTPAuth returns the credentials in a Secret with Flux's keys: username and password, or bearerToken, with
// ca.crt, tls.crt and tls.key. Errors name the key.
func ReadHTTPAuth(data Secret) (Auth, error) {
	a := Auth{
		Username:    string(data["username"]),
		Password:    string(data["password"]),
		BearerToken: strings.TrimSpace(string(data["bearerToken"])),
		CA:          either(data, "ca.crt", "caFile"),
		ClientCert:  either(data, "tls.crt", "certFile"),
		ClientKey:   either(data, "tls.key", "keyFile"),
	}
	return a, a.checkHTTP()
}

// either returns the value of the key, or of the older key.
func either(data Secret, key, old string) []byte {
	if value := data[key]; len(value) > 0 {
		return value
	}
	return data[old]
}

func (a Auth) checkHTTP() error {
	if a.BearerToken != "" && (a.Username != "" || a.Password != "") {
		return errors.New("bearerToken and username exclude each other")
	}
	if strings.ContainsAny(a.BearerToken, "\r\n") {
		return errors.New("bearerToken has a line break in it")
	}
	if a.Username == "" && a.Password != "" {
		return errors.New("password without username")
	}
	if a.Username != "" && a.Password == "" {
		return errors.New("username without password")
	}
	_, err := a.TLS()
	return err
}

// TLS returns the configuration for https. Errors name the key of the Secret.
func (a Auth) TLS() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(a.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(a.CA) {
			return nil, errors.New("ca.crt has no certificate in PEM form")
		}
		config.RootCAs = pool
	}
	if len(a.ClientCert) == 0 && len(a.ClientKey) == 0 {
		return config, nil
	}
	if len(a.ClientCert) == 0 || len(a.ClientKey) == 0 {
		return nil, errors.New("tls.crt and tls.key belong together; one is missing")
	}
	pair, err := tls.X509KeyPair(a.ClientCert, a.ClientKey)
	if err != nil {
		return nil, fmt.Errorf("tls.crt and tls.key: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// minSecret is the least number of bytes of a credential that conceal replaces.
const minSecret = 4

// conceal replaces the credentials in a text: a server may repeat them in its answer.
func (a Auth) conceal(text string) string {
	secrets := []string{a.Password, url.QueryEscape(a.Password), a.BearerToken, string(a.IdentityPassword)}
	if a.Password != "" {
		secrets = append(secrets, base64.StdEncoding.EncodeToString([]byte(a.Username+":"+a.Password)))
	}
	for _, secret := range secrets {
		if len(secret) >= minSecret {
			text = strings.ReplaceAll(text, secret, "(credentials)")
		}
	}
	return text
}
