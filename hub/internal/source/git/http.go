package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/navefleet/nave/hub/internal/source"
)

const (
	service      = "git-upload-pack"
	infoRefs     = "/info/refs"
	userAgent    = "git/2.40 (nave)" // some servers answer only clients that begin with git/
	maxRedirects = 5
)

// httpSession speaks Git's smart protocol over HTTP (gitprotocol-http, version 0).
type httpSession struct {
	base      *url.URL // without user information; after redirects
	authorize func(*http.Request)
	client    *http.Client
	transport *http.Transport
	limits    Limits
}

func openHTTP(f *fetching) (*httpSession, error) {
	config, err := f.auth.TLS()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	transport := f.dialer.Transport(config)
	transport.MaxResponseHeaderBytes = maxHeader
	s := &httpSession{base: withoutUser(f.url), authorize: authorizer(f.url, f.auth), transport: transport,
		limits: f.limits}
	s.client = &http.Client{Transport: transport, CheckRedirect: redirects(len(config.Certificates) > 0)}
	return s, nil
}

func withoutUser(u *url.URL) *url.URL {
	c := *u
	c.User = nil
	c.Path, c.RawPath = strings.TrimRight(c.Path, "/"), strings.TrimRight(c.RawPath, "/")
	return &c
}

// authorizer returns a function that sets the credentials of a request: those of the Secret, else those in the URL.
func authorizer(u *url.URL, auth source.Auth) func(*http.Request) {
	if auth.Username == "" && auth.BearerToken == "" {
		auth = authOf(u)
	}
	switch {
	case auth.BearerToken != "":
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+auth.BearerToken) }
	case auth.Username != "" || auth.Password != "":
		return func(r *http.Request) { r.SetBasicAuth(auth.Username, auth.Password) }
	default:
		return func(*http.Request) {}
	}
}

// redirects returns a function that decides which redirects are followed: only those of the first request, only to http
// and https, never from https to http. Credentials are sent only to the host that they are for.
func redirects(clientCertificate bool) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		from, to := via[len(via)-1].URL, req.URL
		refuse := func(why string) error {
			return fmt.Errorf("%w: it redirects to %s, %s; set spec.url to where the repository is", source.ErrUnreachable,
				source.Quote(source.Redact(to.String())), why)
		}
		switch {
		case via[0].Method != http.MethodGet:
			return refuse("in the middle of a transfer")
		case len(via) >= maxRedirects:
			return refuse("one time too often")
		case to.Scheme != "http" && to.Scheme != "https":
			return refuse("which is neither http nor https")
		case from.Scheme == "https" && to.Scheme == "http":
			return refuse("from https to http")
		case !strings.HasSuffix(to.Path, infoRefs):
			return refuse("which is no Git repository")
		}
		if left(via[0].URL, req, via) {
			if clientCertificate {
				return refuse("another host, which must not see the client certificate")
			}
			req.Header.Del("Authorization")
			req.URL.User = nil
		}
		return nil
	}
}

// left reports whether any redirect of a chain has left the origin.
func left(origin *url.URL, req *http.Request, via []*http.Request) bool {
	for _, r := range via[1:] {
		if !sameOrigin(origin, r.URL) {
			return true
		}
	}
	return !sameOrigin(origin, req.URL)
}

// sameOrigin reports whether credentials for a may be sent to b: b has the same host, and either the same scheme and
// port or https at its default port where a has http.
func sameOrigin(a, b *url.URL) bool {
	if !strings.EqualFold(a.Hostname(), b.Hostname()) {
		return false
	}
	upgrade := a.Scheme == "http" && port(a) == "80" && b.Scheme == "https" && port(b) == "443"
	return upgrade || a.Scheme == b.Scheme && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443", "ssh": "22"}[u.Scheme]
}

func (s *httpSession) advertise(ctx context.Context) (*packp.AdvRefs, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base.String()+infoRefs+"?service="+service, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	body, final, err := s.do(req, "application/x-"+service+"-advertisement")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	s.follow(final)
	return decodeAdvertisement(body, s.limits)
}

// follow sends the next request where redirects ended. Another host gets no credentials.
func (s *httpSession) follow(final *url.URL) {
	if !sameOrigin(s.base, final) {
		s.authorize = func(*http.Request) {}
	}
	next := withoutUser(final)
	next.Path, next.RawPath = strings.TrimSuffix(next.Path, infoRefs), strings.TrimSuffix(next.RawPath, infoRefs)
	next.RawQuery = ""
	s.base = next
}

func (s *httpSession) ask(ctx context.Context, request *packp.UploadPackRequest) (io.ReadCloser, error) {
	var body bytes.Buffer
	if err := encode(&body, request, false); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base.String()+"/"+service, &body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	req.Header.Set("Content-Type", "application/x-"+service+"-request")
	answer, _, err := s.do(req, "application/x-"+service+"-result")
	return answer, err
}

// encode writes a request. A stateful connection needs a flush after the haves.
func encode(w io.Writer, request *packp.UploadPackRequest, flush bool) error {
	if err := request.UploadRequest.Encode(w); err != nil {
		return err
	}
	if err := request.UploadHaves.Encode(w, flush); err != nil {
		return err
	}
	return pktline.NewEncoder(w).EncodeString("done\n")
}

// do sends a request and returns the body of the answer, which has the wanted media type, and the URL that answered.
func (s *httpSession) do(req *http.Request, accept string) (io.ReadCloser, *url.URL, error) {
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", accept)
	s.authorize(req)
	res, err := s.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	if err := s.check(res, accept); err != nil {
		return nil, nil, errors.Join(err, res.Body.Close())
	}
	return res.Body, res.Request.URL, nil
}

// check returns the error of an answer that is not 200 OK with the wanted media type.
func (s *httpSession) check(res *http.Response, accept string) error {
	switch status := source.Quote(res.Status); res.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: the server answers %s; check the Secret of spec.secretRef", source.ErrAuthentication, status)
	case http.StatusForbidden:
		return fmt.Errorf("%w: the server answers %s: these credentials may not read this repository",
			source.ErrAuthentication, status)
	case http.StatusNotFound, http.StatusGone:
		return fmt.Errorf("%w, or these credentials may not see it: the server answers %s", source.ErrRepositoryNotFound,
			status)
	default:
		return fmt.Errorf("%w: it answers %s", source.ErrUnreachable, status)
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != accept {
		return fmt.Errorf("%w: it answers with %s; is the URL that of a Git repository, not of a web page?",
			source.ErrProtocol, source.Quote(res.Header.Get("Content-Type")))
	}
	return nil
}

func (s *httpSession) close() { s.transport.CloseIdleConnections() }
