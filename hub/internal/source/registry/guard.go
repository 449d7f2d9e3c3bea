package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// maxAnswer is how many bytes of a manifest, a page of tags or a token are read.
const maxAnswer = 8 << 20

// guard carries out the requests of go-containerregistry within the rules of the hub.
type guard struct {
	client   *http.Client // of source.Request.HTTP: its transport and its rules for redirects
	origin   *url.URL     // the registry
	insecure bool         // plain HTTP is allowed
	config   source.DockerConfig
}

// RoundTrip implements http.RoundTripper. It follows redirects. Errors are those of package source.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case r.URL.Scheme != "https" && !g.insecure:
		return nil, refuse(r, fmt.Errorf("%w: plain HTTP is refused; if that is intended, set spec.insecure: true",
			source.ErrUnreachable))
	case r.URL.Host != g.origin.Host && carriesCredentials(r) && !g.mayHoldCredentials(r.URL.Hostname()):
		return nil, refuse(r, fmt.Errorf("%w: the registry %s asks to send its credentials to %s, on another domain; if "+
			"that is intended, add an entry for %s to the auths of the Secret of spec.secretRef", source.ErrAuthentication,
			g.origin.Host, source.Quote(r.URL.Host), source.Quote(r.URL.Host)))
	}
	res, err := g.client.Do(r)
	if errors.Is(err, http.ErrSchemeMismatch) && g.mayBePlain(r) {
		r = r.Clone(r.Context())
		r.URL.Scheme = "http"
		res, err = g.client.Do(r)
	}
	var transport *url.Error
	if errors.As(err, &transport) { // go-containerregistry's own client adds the URL again
		return nil, transport.Err
	}
	if err != nil {
		return nil, err
	}
	if res.Request.URL.Host == g.origin.Host || g.isForToken(r) {
		if busy := source.NewBusyError(res, g.origin, time.Now()); busy != nil {
			return nil, errors.Join(busy, res.Body.Close())
		}
	}
	if !strings.Contains(r.URL.Path, "/blobs/") { // a blob is limited where it is read
		res.Body = bounded{artifact.Bound(res.Body, maxAnswer, "an answer of the registry"), res.Body}
	}
	return res, nil
}

// mayBePlain reports whether a request that the registry does not understand, because it speaks plain HTTP, may be sent
// again so. go-containerregistry tries both ways, and the error of the wrong one would hide what the registry says.
func (g *guard) mayBePlain(r *http.Request) bool {
	return g.insecure && r.URL.Host == g.origin.Host && !carriesCredentials(r)
}

// isForToken reports whether a request asks a server of the registry for a token. Such servers count requests, too.
func (g *guard) isForToken(r *http.Request) bool {
	return r.URL.Host != g.origin.Host && g.mayHoldCredentials(r.URL.Hostname())
}

// refuse returns the error of a request that is not sent.
func refuse(r *http.Request, err error) error {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return err
}

// carriesCredentials reports whether a request for a token has a password or a refresh token in it.
func carriesCredentials(r *http.Request) bool {
	return r.Header.Get("Authorization") != "" || r.Body != nil && r.Body != http.NoBody
}

// mayHoldCredentials reports whether the credentials of the registry may be sent to another host: it is of the same
// domain, or the Secret names it.
func (g *guard) mayHoldCredentials(host string) bool {
	if strings.EqualFold(host, g.origin.Hostname()) {
		return true
	}
	if _, ok := g.config.For(host, ""); ok {
		return true
	}
	a, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(host))
	b, err2 := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(g.origin.Hostname()))
	return err == nil && err2 == nil && a == b
}

// bounded is a body that is read within a limit.
type bounded struct {
	io.Reader
	io.Closer
}
