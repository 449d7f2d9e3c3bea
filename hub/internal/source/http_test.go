package source

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/dial"
)

// stop is a server that notes the Authorization of requests, and redirects /a/b/c to the next server of the path.
type stop struct {
	*httptest.Server
	seen []string
}

// startStops starts servers that are named by one letter each.
func startStops(t *testing.T, start map[string]func(http.Handler) *httptest.Server) map[string]*stop {
	t.Helper()
	stops := map[string]*stop{}
	for name, serve := range start {
		s := &stop{}
		s.Server = serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.seen = append(s.seen, r.Header.Get("Authorization"))
			next, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			if next != "" {
				target := strings.Replace(stops[next].URL, "://", "://server:chosen@", 1)
				http.Redirect(w, r, target+"/"+rest, http.StatusTemporaryRedirect)
			}
		}))
		t.Cleanup(s.Close)
		stops[name] = s
	}
	return stops
}

func clientFor(t *testing.T, address string, secret Secret) *http.Client {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	client, err := Request{
		Network: dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Secrets: map[string]Secret{"spec.secretRef": secret},
	}.HTTP(u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// TestHTTP follows redirects from the origin "o" to the servers of a path, which must see credentials or not.
func TestHTTP(t *testing.T) {
	for name, c := range map[string]struct{ path, seen string }{
		"origin":       {"/", "o:yes"},
		"same_origin":  {"/o/o/", "o:yes o:yes o:yes"},
		"other":        {"/x/", "o:yes x:no"},
		"and_back":     {"/x/o/", "o:yes x:no o:no"},
		"back_and_on":  {"/o/x/o/o/", "o:yes o:yes x:no o:no o:no"},
		"five_servers": {"/o/o/o/o/", "o:yes o:yes o:yes o:yes o:yes"},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			plain := func(name string) func(http.Handler) *httptest.Server {
				return func(h http.Handler) *httptest.Server {
					return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						user, password, ok := r.BasicAuth()
						seen = append(seen, name+":"+map[bool]string{true: "yes", false: "no"}[user+password == "me"+"secret"])
						if ok && user != "me" {
							t.Errorf("%s saw user %q, which the server chose", name, user)
						}
						h.ServeHTTP(w, r)
					}))
				}
			}
			stops := startStops(t, map[string]func(http.Handler) *httptest.Server{"o": plain("o"), "x": plain("x")})
			origin := stops["o"].URL
			for way, client := range map[string]*http.Client{
				"secret": clientFor(t, origin, Secret{"username": []byte("me"), "password": []byte("secret")}),
				"url":    clientFor(t, strings.Replace(origin, "://", "://me:secret@", 1), nil),
			} {
				seen = nil
				res, err := client.Get(origin + c.path)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				if got := strings.Join(seen, " "); got != c.seen {
					t.Errorf("by %s: got %s, want %s", way, got, c.seen)
				}
			}
		})
	}
}

// TestHTTP_direct asks another server than the source's, as a fetcher does that reads an address in an index.
func TestHTTP_direct(t *testing.T) {
	stops := startStops(t, map[string]func(http.Handler) *httptest.Server{
		"o": httptest.NewServer, "x": httptest.NewServer,
	})
	client := clientFor(t, stops["o"].URL, Secret{"bearerToken": []byte("t")})
	for _, s := range []string{"o", "x"} {
		res, err := client.Get(stops[s].URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	if stops["o"].seen[0] != "Bearer t" || stops["x"].seen[0] != "" {
		t.Errorf("the origin saw %q, the other %q", stops["o"].seen, stops["x"].seen)
	}
}

func TestHTTP_refused(t *testing.T) {
	stops := startStops(t, map[string]func(http.Handler) *httptest.Server{
		"o": httptest.NewServer, "s": httptest.NewTLSServer, "x": httptest.NewTLSServer,
	})
	cert := stops["s"].TLS.Certificates[0]
	key, err := tlsKey(cert)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	trusted := Secret{"ca.crt": certificate}
	known := Secret{"ca.crt": certificate, "tls.crt": certificate, "tls.key": key}
	for name, c := range map[string]struct {
		origin, path, method string
		secret               Secret
		word                 string
	}{
		"too_often":          {"o", "/o/o/o/o/o/", http.MethodGet, nil, "one time too often"},
		"downgrade":          {"s", "/o/", http.MethodGet, trusted, "from https to http"},
		"post":               {"o", "/o/", http.MethodPost, nil, "in the middle of a transfer"},
		"client_certificate": {"s", "/x/", http.MethodGet, known, "must not see the client certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			address := stops[c.origin].URL
			req, err := http.NewRequestWithContext(t.Context(), c.method, address+c.path, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = clientFor(t, address, c.secret).Do(req)
			if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), c.word) {
				t.Errorf("got %v, want %q", err, c.word)
			}
		})
	}
	if n := len(stops["x"].seen); n > 0 {
		t.Errorf("the other host saw %d requests", n)
	}
}

func tlsKey(c tls.Certificate) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

func TestSameOrigin(t *testing.T) {
	for name, c := range map[string]struct {
		a, b string
		want bool
	}{
		"equal":          {"https://h/x", "https://H:443/y", true},
		"upgrade":        {"http://h/x", "https://h/x", true},
		"downgrade":      {"https://h/x", "http://h/x", false},
		"other_port":     {"http://h:8080/", "https://h/", false},
		"odd_upgrade":    {"http://h/", "https://h:8443/", false},
		"subdomain":      {"https://h.example/", "https://a.h.example/", false},
		"user":           {"https://h/", "https://h@evil/", false},
		"other_upgrade":  {"http://h/", "https://evil/", false},
		"same_high_port": {"http://h:1234/", "http://h:1234/", true},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := url.Parse(c.a)
			b, _ := url.Parse(c.b)
			if got := SameOrigin(a, b); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
