package git

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Auth is the credentials of one source.
type Auth struct {
	Username, Password string
	BearerToken        string
	// CA, ClientCert and ClientKey are PEM. The authorities of CA are trusted besides the system's.
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

// ParseAuth reads the data of a Secret with Flux's keys: username and password, or bearerToken, with ca.crt, tls.crt
// and tls.key for https; identity, known_hosts and password for ssh. Its errors are ErrRequest and name the key.
func ParseAuth(url string, data map[string][]byte) (Auth, error) {
	u, err := parseURL(url)
	if err != nil {
		return Auth{}, err
	}
	var auth Auth
	if u.Scheme == "ssh" {
		auth = Auth{Identity: data["identity"], IdentityPassword: data["password"], KnownHosts: data["known_hosts"]}
		err = auth.checkSSH()
	} else {
		auth = Auth{
			Username:    string(data["username"]),
			Password:    string(data["password"]),
			BearerToken: strings.TrimSpace(string(data["bearerToken"])),
			CA:          either(data, "ca.crt", "caFile"),
			ClientCert:  either(data, "tls.crt", "certFile"),
			ClientKey:   either(data, "tls.key", "keyFile"),
		}
		err = auth.checkHTTP()
	}
	if err != nil {
		return Auth{}, fmt.Errorf("%w: the Secret of spec.secretRef: %w", ErrRequest, err)
	}
	return auth, nil
}

// either returns the value of the key, or of the older key.
func either(data map[string][]byte, key, old string) []byte {
	if value := data[key]; len(value) > 0 {
		return value
	}
	return data[old]
}

func (a Auth) checkSSH() error {
	if len(a.Identity) == 0 {
		return errors.New("identity is missing: an ssh URL needs a private key")
	}
	if len(a.KnownHosts) == 0 {
		return errors.New("known_hosts is missing: without it no ssh server is trusted (ssh-keyscan prints it)")
	}
	_, err := a.signer()
	return err
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
	_, err := a.tls()
	return err
}

// signer reads the private key.
func (a Auth) signer() (ssh.Signer, error) {
	var missing *ssh.PassphraseMissingError
	signer, err := ssh.ParsePrivateKey(a.Identity)
	if errors.As(err, &missing) {
		if len(a.IdentityPassword) == 0 {
			return nil, errors.New("identity is encrypted and password is missing")
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase(a.Identity, a.IdentityPassword)
	}
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, errors.New("password does not open identity")
	}
	if err != nil {
		return nil, fmt.Errorf("identity is no private key that can be read: %w", err)
	}
	return signer, nil
}

// tls returns the settings for https.
func (a Auth) tls() (*tls.Config, error) {
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
