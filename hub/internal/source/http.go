package source

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/dial"
)

const (
	maxRedirects = 5
	maxHeader    = 64 << 10 // bytes of the headers of an answer
)

// HTTP returns a client for the server of a URL, with the credentials of the Secret of spec.secretRef, else those in
// the URL. Certificates are those of the Secret of spec.certSecretRef, else of spec.secretRef. The client dials what
// r.Network allows. It follows redirects of GET and HEAD to http and https, but never from https to http. It sends
// credentials to the origin of the URL only, which is its scheme, host and port; not even a redirect back to the origin
// brings them back. If r.Hosts is set, requests to other hosts fail with dial.ErrDenied. A client certificate is never
// shown to another host: requests there fail. If the source names a proxy in spec.proxySecretRef, every request goes
// there. Errors are ErrAuthentication and ErrRequest.
func (r Request) HTTP(u *url.URL) (*http.Client, error) {
	auth, err := readHTTPAuth(r.Secrets["spec.secretRef"])
	if err != nil {
		return nil, SecretError(err)
	}
	field := "spec.secretRef"
	if own, ok := r.Secrets["spec.certSecretRef"]; ok {
		field = "spec.certSecretRef"
		auth.setCertificates(own)
	}
	config, err := auth.tls()
	if err != nil {
		return nil, secretError(field, err)
	}
	dialer := dial.New(r.Network)
	proxy, err := r.Proxy()
	switch {
	case err != nil:
		return nil, err
	case proxy != nil && proxy.Scheme == "https" && len(config.Certificates) > 0:
		return nil, fmt.Errorf("%w: a client certificate (tls.crt) and a proxy that speaks https cannot be used together: "+
			"give an http:// or socks5:// address", ErrRequest)
	case proxy != nil:
		dialer = dialer.Through(proxy)
	}
	t := &transport{dialer.Transport(config), u, auth, r.Hosts}
	t.MaxResponseHeaderBytes = maxHeader
	return &http.Client{Transport: t, CheckRedirect: checkRedirect}, nil
}

// CheckStatus returns the error of an answer that is not the whole file that was asked for: only 200 OK comes with it.
// Errors are ErrFileNotFound, ErrAuthentication, ErrUnreachable and ErrProtocol.
func CheckStatus(answer *http.Response, what string) error {
	kind := ErrProtocol
	switch status := answer.StatusCode; {
	case status == http.StatusOK:
		return nil
	case status == http.StatusNotFound || status == http.StatusGone:
		kind = ErrFileNotFound
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		kind = ErrAuthentication
	case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		kind = ErrUnreachable
	}
	return fmt.Errorf("%w: %s: the server answers %d %s", kind, what, answer.StatusCode,
		http.StatusText(answer.StatusCode))
}

// SecretError returns the error of credentials that cannot be read, which names the key of the Secret.
func SecretError(err error) error { return secretError("spec.secretRef", err) }

// FieldSecretError returns the error of a key that cannot be read; field names the Secret.
func FieldSecretError(field string, err error) error { return secretError(field, err) }

func secretError(field string, err error) error {
	return fmt.Errorf("%w: the Secret of %s: %w", ErrAuthentication, field, err)
}

// transport adds the credentials to requests that may carry them.
type transport struct {
	*http.Transport
	origin *url.URL
	auth   httpAuth
	hosts  []string // see Request.Hosts
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	switch {
	case !t.names(r.URL.Host):
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, fmt.Errorf("%w: remote bases are fetched from hosts only that the hub's flag --remote-base-host names, "+
			"and %s is not one of them", dial.ErrDenied, Quote(Redact(r.URL.String())))
	case t.stays(r):
		t.auth.authorize(r, t.origin)
	case len(t.TLSClientConfig.Certificates) > 0:
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, RefuseRedirect(r.URL, "another host, which must not see the client certificate")
	case r.Response != nil: // a redirect
		r.Header.Del("Authorization")
	}
	answer, err := t.Transport.RoundTrip(r)
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted && t.hosts != nil {
		err = fmt.Errorf("%w: %w; put the authority's certificate into a folder that the hub's environment names in "+
			"SSL_CERT_DIR", ErrUntrusted, err)
	}
	return answer, err
}

// names reports whether a host may be asked.
func (t *transport) names(host string) bool {
	same := func(h string) bool { return strings.EqualFold(h, host) }
	return t.hosts == nil || slices.ContainsFunc(t.hosts, same)
}

// stays reports whether a request, and every request whose redirect led to it, is for the origin.
func (t *transport) stays(r *http.Request) bool {
	for ; SameOrigin(t.origin, r.URL); r = r.Response.Request {
		if r.Response == nil {
			return true
		}
	}
	return false
}

// checkRedirect decides which redirects are followed.
func checkRedirect(r *http.Request, via []*http.Request) error {
	switch from, to := via[len(via)-1], r.URL; {
	case from.Method != http.MethodGet && from.Method != http.MethodHead:
		return RefuseRedirect(to, "in the middle of a transfer")
	case len(via) >= maxRedirects:
		return RefuseRedirect(to, "one time too often")
	case to.Scheme != "http" && to.Scheme != "https":
		return RefuseRedirect(to, "which is neither http nor https")
	case from.URL.Scheme == "https" && to.Scheme == "http":
		return RefuseRedirect(to, "from https to http")
	}
	r.URL.User = nil // a server names no credentials
	return nil
}

// RefuseRedirect returns the error of a redirect that is not followed.
func RefuseRedirect(to *url.URL, why string) error {
	return fmt.Errorf("%w: it redirects to %s, %s; set spec.url to where the source is", ErrUnreachable,
		Quote(Redact(to.String())), why)
}

// SameOrigin reports whether credentials for a may be sent to b: b has the same host, and either the same scheme and
// port or https at its usual port where a has http at its own.
func SameOrigin(a, b *url.URL) bool {
	from, to := dial.AddressOf(a), dial.AddressOf(b)
	if a.Scheme == "http" && b.Scheme == "https" {
		return strings.EqualFold(from, net.JoinHostPort(b.Hostname(), "80")) &&
			strings.EqualFold(to, net.JoinHostPort(a.Hostname(), "443"))
	}
	return a.Scheme == b.Scheme && strings.EqualFold(from, to)
}
