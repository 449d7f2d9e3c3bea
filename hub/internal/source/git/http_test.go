package git_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/source"
)

func TestHTTP_credentials(t *testing.T) {
	const secret = "s3cr3t-canary"
	for name, c := range map[string]struct {
		options     gittest.Options
		good, wrong map[string]string
	}{
		"basic": {gittest.Options{Username: "u", Password: secret},
			map[string]string{"username": "u", "password": secret}, map[string]string{"username": "u",
				"password": secret + "x"}},
		"bearer": {gittest.Options{BearerToken: secret},
			map[string]string{"bearerToken": secret + "\n"}, map[string]string{"bearerToken": secret + "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.options)
			w.commit(map[string]string{"a": "1"})
			req := w.main()
			w.fails(req, source.ErrAuthentication, "401", "spec.secretRef")
			req.Secret = c.wrong
			_, err := w.fetcher.Fetch(t.Context(), req, nil)
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("with wrong credentials: %v", err)
			}
			req.Secret = c.good
			first := w.fetch(req, nil)
			w.commit(map[string]string{"a": "2"})
			w.fetcher.holds(t, w.fetch(req, &first), map[string]string{"a": "2"})
			if wrong := source.Reason(err, "Failed"); wrong != "AuthenticationFailed" {
				t.Errorf("reason %s", wrong)
			}
		})
	}
}

func TestHTTP_url(t *testing.T) {
	w := newWorld(t, gittest.Options{Username: "u", Password: "s3cr3t"})
	w.commit(map[string]string{"a": "1"})
	req := w.main()
	req.URL = strings.Replace(req.URL, "://", "://u:s3cr3t@", 1)
	w.fetch(req, nil)
	req.Ref.Branch = "gone"
	_, err := w.fetcher.Fetch(t.Context(), req, nil)
	if err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("got %v", err)
	}
}

func TestHTTP_certificate(t *testing.T) {
	w := newWorld(t, gittest.Options{ClientCertificates: true})
	w.commit(map[string]string{"a": "1"})
	req := w.main()
	w.fails(req, source.ErrUntrusted, "ca.crt")
	req.Secret = map[string]string{"ca.crt": string(w.server.CA())}
	w.fails(req, source.ErrUnreachable)
	certificate, key, err := w.server.ClientCertificate()
	w.do(err)
	req.Secret = map[string]string{"ca.crt": string(w.server.CA()), "tls.crt": string(certificate),
		"tls.key": string(key)}
	w.fetch(req, nil)
}

// listener notes the Authorization headers that arrive.
type listener struct {
	mu   sync.Mutex
	seen []string
	next http.Handler
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	l.seen = append(l.seen, r.Header.Get("Authorization"))
	l.mu.Unlock()
	l.next.ServeHTTP(w, r)
}

func TestRedirect_credentials(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "1"})
	other := &listener{}
	target := httptest.NewServer(other)
	defer target.Close()
	// The other host forwards to the real repository, so that the whole fetch goes through it.
	other.next = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			http.Error(rw, "credentials!", http.StatusTeapot)
			return
		}
		forward(t, rw, r, w.server.URL())
	})
	home := &listener{next: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, target.URL+r.URL.RequestURI(), http.StatusMovedPermanently)
	})}
	origin := httptest.NewServer(home)
	defer origin.Close()
	for _, data := range []map[string]string{{"username": "u", "password": "p"}, {"bearerToken": "t"}} {
		req := request{URL: origin.URL + "/fleet.git", Ref: reference{Branch: "main"}, Secret: data}
		w.fetch(req, nil)
	}
	for _, header := range other.seen {
		if header != "" {
			t.Errorf("the other host saw %q", header)
		}
	}
	if len(other.seen) != 4 || len(home.seen) != 2 || home.seen[0] == "" || home.seen[1] == "" {
		t.Errorf("home saw %q, the other host %q", home.seen, other.seen)
	}
}

// forward passes a request on.
func forward(t *testing.T, rw http.ResponseWriter, r *http.Request, base string) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, base+r.URL.RequestURI(), r.Body)
	if err != nil {
		t.Error(err)
		return
	}
	req.Header = r.Header
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer res.Body.Close()
	rw.Header().Set("Content-Type", res.Header.Get("Content-Type"))
	rw.WriteHeader(res.StatusCode)
	buffer := make([]byte, 1<<16)
	for {
		n, err := res.Body.Read(buffer)
		_, _ = rw.Write(buffer[:n])
		if err != nil {
			return
		}
	}
}

func TestRedirect_refused(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	for _, location := range []string{
		"file:///etc/passwd", "ssh://-oProxyCommand=touch%20x/info/refs", "ext::sh -c id", "/login", "ftp://host/info/refs",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Location", location)
			rw.WriteHeader(http.StatusFound)
		}))
		w.fails(request{URL: server.URL + "/x.git"}, source.ErrUnreachable, "")
		server.Close()
	}
	var loop *httptest.Server
	loop = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, loop.URL+r.URL.RequestURI(), http.StatusFound)
	}))
	defer loop.Close()
	w.fails(request{URL: loop.URL + "/x.git"}, source.ErrUnreachable, "one time too often")
}

func TestSchemes(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	for _, url := range []string{
		"file:///etc", "/etc", "ext::sh -c id", "git://host/x", "git@host:x.git",
		"ssh://-oProxyCommand=x/y", "http:///x", "", "https://h/x?y", "http://h/%zz",
	} {
		w.fails(request{URL: url}, source.ErrRequest)
	}
}

func TestHTTP_page(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	page := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write([]byte("<html>"))
	}))
	defer page.Close()
	w.fails(request{URL: page.URL + "/x"}, source.ErrProtocol, "web page")
}

// answer serves one canned advertisement.
func answer(t *testing.T, body string) string {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		kind := "application/x-git-upload-pack-advertisement"
		if r.Method == http.MethodPost {
			kind = "application/x-git-upload-pack-result"
		}
		rw.Header().Set("Content-Type", kind)
		_, _ = rw.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/x.git"
}

func TestHTTP_garbage(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	for _, body := range []string{
		"", "0000", "zzzz", "0004", "001e# service=git-upload-pack\n", "001e# service=git-upload-pack\n0000",
		"001e# service=git-upload-pack\n00000009garba", "001e# service=git-upload-pack\n0000ffff" + strings.Repeat("a", 100),
	} {
		if _, err := w.fetcher.Fetch(t.Context(), request{URL: answer(t, body)}, nil); err == nil {
			t.Errorf("%q was taken for Git", body)
		}
	}
	w.fails(request{URL: answer(t, "001cERR Repository not found")}, source.ErrRepositoryNotFound)
}

func TestSecret_refused(t *testing.T) {
	for name, c := range map[string]struct {
		url  string
		data map[string]string
		word string
	}{
		"no_password": {"https://h/x", map[string]string{"username": "u"}, "password"},
		"no_user":     {"https://h/x", map[string]string{"password": "p"}, "username"},
		"both_ways": {"https://h/x", map[string]string{"username": "u", "password": "p", "bearerToken": "t"},
			"bearerToken"},
		"bad_authority":      {"https://h/x", map[string]string{"ca.crt": "x"}, "ca.crt"},
		"certificate_alone":  {"https://h/x", map[string]string{"tls.crt": "x"}, "tls.key"},
		"broken_certificate": {"https://h/x", map[string]string{"tls.crt": "x", "tls.key": "y"}, "tls.crt"},
		"no_key":             {"ssh://h/x", map[string]string{"known_hosts": "x"}, "identity"},
		"no_hosts":           {"ssh://h/x", map[string]string{"identity": "x"}, "known_hosts"},
		"broken_key":         {"ssh://h/x", map[string]string{"identity": "x", "known_hosts": "x"}, "identity"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newFetcher(t.TempDir()).Fetch(t.Context(), request{URL: c.url, Secret: c.data}, nil)
			if !errors.Is(err, source.ErrAuthentication) || !strings.Contains(err.Error(), c.word) {
				t.Errorf("got %v, want a word about %s", err, c.word)
			}
		})
	}
}
