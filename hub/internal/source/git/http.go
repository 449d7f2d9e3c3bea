package git

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/navefleet/nave/hub/internal/source"
)

const (
	infoRefs  = "/info/refs"
	userAgent = "git/2.40 (nave)" // some servers answer only clients that begin with git/
)

// httpSession speaks Git's smart protocol over HTTP (gitprotocol-http, version 0).
type httpSession struct {
	service string
	base    *url.URL // without user information; after redirects
	client  *http.Client
	limits  Limits
	giver   string // see source.Server
	owner   string // the GitRepository without a Secret that is asked; empty: it has one
}

func openHTTP(f *fetching, service string) (*httpSession, error) {
	client, err := f.HTTP(f.url)
	if err != nil {
		return nil, err
	}
	check := client.CheckRedirect
	client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if !strings.HasSuffix(r.URL.Path, infoRefs) {
			return source.RefuseRedirect(r.URL, "which is no Git repository")
		}
		return check(r, via)
	}
	s := &httpSession{service: service, base: baseOf(f.url, "/"), client: client, limits: f.limits, giver: f.Giver}
	if f.isAnonymous() {
		s.owner = f.Object.Key.Local()
	}
	return s, nil
}

// baseOf returns the URL of a repository: u without user information, without query, and without the end of its path.
func baseOf(u *url.URL, end string) *url.URL {
	base := *u
	base.User, base.RawQuery = nil, ""
	base.Path = strings.TrimRight(strings.TrimSuffix(u.Path, end), "/")
	base.RawPath = strings.TrimRight(strings.TrimSuffix(u.RawPath, end), "/")
	return &base
}

func (s *httpSession) advertise(ctx context.Context) (*packp.AdvRefs, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base.String()+infoRefs+"?service="+s.service, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	body, final, err := s.do(req, "application/x-"+s.service+"-advertisement")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	s.base = baseOf(final, infoRefs) // the next request goes where redirects ended
	return decodeAdvertisement(body, s.limits)
}

func (s *httpSession) ask(ctx context.Context, request request) (io.ReadCloser, error) {
	var body bytes.Buffer
	if err := request.write(&body, false); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base.String()+"/"+s.service, &body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	req.Header.Set("Content-Type", "application/x-"+s.service+"-request")
	answer, _, err := s.do(req, "application/x-"+s.service+"-result")
	return answer, err
}

// do sends a request and returns the body of the answer, which has the wanted media type, and the URL that answered.
func (s *httpSession) do(req *http.Request, accept string) (io.ReadCloser, *url.URL, error) {
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", accept)
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
		if s.owner != "" {
			return s.wantsSecret(status)
		}
		return fmt.Errorf("%w: the server answers %s; check %s", source.ErrAuthentication, status,
			cmp.Or(s.giver, "the Secret of spec.secretRef"))
	case http.StatusForbidden:
		verb := "read"
		if s.service == receivePack {
			verb = "push to"
		}
		return fmt.Errorf("%w: the server answers %s: these credentials may not %s this repository",
			source.ErrAuthentication, status, verb)
	case http.StatusNotFound, http.StatusGone:
		return fmt.Errorf("%w, or these credentials may not see it: the server answers %s", source.ErrRepositoryNotFound,
			status)
	default:
		return fmt.Errorf("%w: the server answers %s", source.ErrUnreachable, status)
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != accept {
		if isDumb(res.Body) {
			return fmt.Errorf("%w: the server speaks only Git's dumb HTTP, which cannot send a part of the history; serve the "+
				"repository by smart HTTP (git http-backend) or ssh", source.ErrProtocol)
		}
		return fmt.Errorf("%w: it answers with %s; is the URL that of a Git repository, not of a web page?",
			source.ErrProtocol, source.Quote(res.Header.Get("Content-Type")))
	}
	return nil
}

// wantsSecret returns the error of a server that does not let everybody do what was asked.
func (s *httpSession) wantsSecret(status string) error {
	why := "has no Secret: name one in its spec.secretRef"
	if s.service == receivePack {
		why = "has no Secret. Reading needs none, but pushing does: name one in its spec.secretRef"
	}
	return fmt.Errorf("%w: the server answers %s; %s %s", source.ErrAuthentication, status, s.owner, why)
}

// isDumb reports whether an answer is the file info/refs of a server that knows nothing of Git: lines "hash<TAB>name".
func isDumb(answer io.Reader) bool {
	start := make([]byte, len(plumbing.ZeroHash)*2+1)
	if _, err := io.ReadFull(answer, start); err != nil {
		return false
	}
	_, isHash := parseHash(start[:len(start)-1])
	return isHash && start[len(start)-1] == '\t'
}

func (s *httpSession) close() { s.client.CloseIdleConnections() }
