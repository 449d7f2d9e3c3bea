package source

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Secret is the data of a Secret.
type Secret map[string][]byte

// LogValue keeps credentials out of logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(concealed) }

// String keeps credentials out of messages.
func (Secret) String() string { return concealed }

// GoString keeps credentials out of messages.
func (Secret) GoString() string { return concealed }

// Authority returns the certificates of ca.crt, in PEM form; nil if there are none.
func (s Secret) Authority() []byte { return either(s, "ca.crt", "caFile") }

// httpAuth is the credentials for HTTP in a Secret with Flux's keys.
type httpAuth struct {
	username, password, bearer string
	// PEM. The authorities of ca are trusted beside those of the system.
	ca, certificate, key []byte
}

// readHTTPAuth reads username and password, or bearerToken, with ca.crt, tls.crt and tls.key. Errors name the key.
func readHTTPAuth(data Secret) (httpAuth, error) {
	a := httpAuth{
		username: string(data["username"]),
		password: string(data["password"]),
		bearer:   strings.TrimSpace(string(data["bearerToken"])),
	}
	a.setCertificates(data)
	switch {
	case a.bearer != "" && a.username+a.password != "":
		return a, errors.New("bearerToken and username exclude each other")
	case strings.ContainsAny(a.bearer, "\r\n"):
		return a, errors.New("bearerToken has a line break in it")
	case a.username == "" && a.password != "":
		return a, errors.New("password without username")
	case a.username != "" && a.password == "":
		return a, errors.New("username without password")
	}
	return a, nil
}

// setCertificates sets the certificates and the key of a Secret.
func (a *httpAuth) setCertificates(data Secret) {
	a.ca = data.Authority()
	a.certificate = either(data, "tls.crt", "certFile")
	a.key = either(data, "tls.key", "keyFile")
}

// either returns the value of the key, or of the older key.
func either(data Secret, key, old string) []byte {
	if value := data[key]; len(value) > 0 {
		return value
	}
	return data[old]
}

// tls returns the configuration for https. Errors name the key of the Secret.
func (a httpAuth) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(a.ca) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(a.ca) {
			return nil, errors.New("ca.crt has no certificate in PEM form")
		}
		config.RootCAs = pool
	}
	switch {
	case len(a.certificate) == 0 && len(a.key) == 0:
		return config, nil
	case len(a.certificate) == 0 || len(a.key) == 0:
		return nil, errors.New("tls.crt and tls.key belong together; one is missing")
	}
	pair, err := tls.X509KeyPair(a.certificate, a.key)
	if err != nil {
		return nil, fmt.Errorf("tls.crt and tls.key: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// authorize sets the credentials of a request: those of the Secret, else those in the URL of the source.
func (a httpAuth) authorize(r *http.Request, origin *url.URL) {
	switch {
	case a.bearer != "":
		r.Header.Set("Authorization", "Bearer "+a.bearer)
	case a.username != "":
		r.SetBasicAuth(a.username, a.password)
	case origin.User != nil:
		password, _ := origin.User.Password()
		r.SetBasicAuth(origin.User.Username(), password)
	}
}

// shown are the keys of Secrets whose values messages may have.
var shown = []string{"username", "address", "known_hosts", "githubAppID", "githubAppClientID",
	"githubAppInstallationID", "githubAppInstallationOwner", "githubAppBaseURL"}

const (
	minSecret = 4 // the least number of bytes of a credential that conceal replaces
	concealed = "(credentials)"
)

// ConcealText returns a text of a server without the credentials of Secrets.
func ConcealText(text string, secrets map[string]Secret) string { return conceal(text, "", secrets) }

// conceal replaces the credentials of a source in a text: a server may repeat them in its answer. Credentials are all
// values of its Secrets but those of shown keys, and the password in its URL.
func conceal(text, address string, secrets map[string]Secret) string {
	var all []string
	add := func(username, secret string) {
		if secret = strings.TrimSpace(secret); len(secret) >= minSecret {
			quoted := strconv.Quote(secret)
			all = append(all, secret, url.QueryEscape(secret), quoted[1:len(quoted)-1])
			for _, name := range []string{username, ""} { // some servers want a token without a name
				all = append(all, base64.StdEncoding.EncodeToString([]byte(name+":"+secret)))
			}
		}
	}
	for _, secret := range secrets {
		for key, value := range secret {
			if !slices.Contains(shown, key) {
				add(string(secret["username"]), string(value))
			}
			if key == DockerConfigKey {
				for _, a := range readDockerConfig(value) {
					add(a.Username, a.Password)
					add(a.Username, a.IdentityToken)
					add(a.Username, a.RegistryToken)
				}
			}
		}
	}
	if u, err := url.Parse(address); err == nil && u.User != nil {
		password, _ := u.User.Password()
		add(u.User.Username(), password)
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) }) // one may be a part of another
	for _, secret := range all {
		text = concealCut(strings.ReplaceAll(text, secret, concealed), secret)
	}
	return text
}

// concealCut replaces the beginnings of a credential where a quotation was cut.
func concealCut(text, secret string) string {
	const cut = "…"
	parts := strings.Split(text, cut)
	for i, part := range parts[:len(parts)-1] {
		for n := min(len(secret)-1, len(part)); n >= minSecret; n-- {
			if rest, ok := strings.CutSuffix(part, secret[:n]); ok {
				parts[i] = rest + concealed
				break
			}
		}
	}
	return strings.Join(parts, cut)
}
