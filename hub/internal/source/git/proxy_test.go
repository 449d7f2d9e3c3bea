package git_test

import (
	"bufio"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
)

const proxyPassword = "pr0xy-canary"

// proxy is a scripted proxy that wants a user "u" with proxyPassword. used counts what it let through.
type proxy struct {
	address string
	ca      []byte
	used    atomic.Int64
}

// newHTTPProxy starts a proxy that speaks HTTP, or HTTPS.
func newHTTPProxy(t *testing.T, secure bool) *proxy {
	t.Helper()
	p := &proxy{}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+proxyPassword))
	forward := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != want {
			http.Error(w, "who are you?", http.StatusProxyAuthRequired)
			return
		}
		p.used.Add(1)
		if r.Method != http.MethodConnect {
			forward.ServeHTTP(w, r)
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		here, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		join(here, there, buffered.Reader)
	}))
	if secure {
		server.StartTLS()
		p.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	p.address = server.URL
	return p
}

// newSOCKS starts a SOCKS5 proxy (RFC 1928, RFC 1929).
func newSOCKS(t *testing.T) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	p := &proxy{address: "socks5://" + listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.socks(conn)
		}
	}()
	return p
}

func (p *proxy) socks(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	take := func() []byte { // a length and so many bytes
		n, _ := r.ReadByte()
		text := make([]byte, n)
		_, _ = io.ReadFull(r, text)
		return text
	}
	skip := func(n int) { _, _ = r.Discard(n) }
	skip(1)
	take()
	_, _ = conn.Write([]byte{5, 2})
	skip(1)
	if user, password := take(), take(); string(user) != "u" || string(password) != proxyPassword {
		_, _ = conn.Write([]byte{1, 1})
		return
	}
	_, _ = conn.Write([]byte{1, 0})
	skip(3)
	kind, _ := r.ReadByte()
	var host string
	if kind == 1 {
		raw := make([]byte, 4)
		_, _ = io.ReadFull(r, raw)
		host = net.IP(raw).String()
	} else {
		host = string(take())
	}
	port := make([]byte, 2)
	_, _ = io.ReadFull(r, port)
	there, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.ParseIP(host), Port: int(port[0])<<8 | int(port[1])})
	if err != nil {
		_, _ = conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	p.used.Add(1)
	_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	join(conn, there, r)
}

// join copies between two connections until one ends.
func join(here, there net.Conn, r io.Reader) {
	go func() {
		_, _ = io.Copy(there, r)
		_ = there.Close()
	}()
	_, _ = io.Copy(here, there)
	_ = here.Close()
}

func (p *proxy) secret(password string) map[string]string {
	return map[string]string{"address": p.address, "username": "u", "password": password}
}

func TestProxy(t *testing.T) {
	for name, c := range map[string]struct {
		start func(*testing.T) *proxy
		tls   bool
		bad   string // of the error with a wrong password
	}{
		"http":           {func(t *testing.T) *proxy { return newHTTPProxy(t, false) }, false, "407"},
		"http_to_https":  {func(t *testing.T) *proxy { return newHTTPProxy(t, false) }, true, "Proxy Authentication"},
		"https":          {func(t *testing.T) *proxy { return newHTTPProxy(t, true) }, false, "407"},
		"https_to_https": {func(t *testing.T) *proxy { return newHTTPProxy(t, true) }, true, "Proxy Authentication"},
		"socks5":         {newSOCKS, false, "authentication"},
		"socks5_https":   {newSOCKS, true, "authentication"},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := newWorld(t, gittest.Options{TLS: c.tls}), c.start(t)
			w.commit(map[string]string{"a": "1"})
			req := w.main()
			req.Secret = map[string]string{"ca.crt": string(w.server.CA()) + string(p.ca)}
			if !c.tls && p.ca == nil {
				req.Secret = nil
			}
			req.Proxy = p.secret(proxyPassword)
			w.fetcher.holds(t, w.fetch(req, nil), map[string]string{"a": "1"})
			if p.used.Load() == 0 {
				t.Error("nothing went through the proxy")
			}
			before := w.server.Requests()
			req.Proxy = p.secret("wr0ng-canary")
			_, err := w.fetcher.Fetch(t.Context(), req, nil)
			if err == nil || !strings.Contains(err.Error(), c.bad) || strings.Contains(err.Error(), "canary") {
				t.Errorf("with a wrong password: %v", err)
			}
			if w.server.Requests() != before {
				t.Error("with a wrong password the server was asked")
			}
		})
	}
}

func TestProxy_ssh(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "1"})
	s, p := startSSH(t, w), newSOCKS(t)
	req := request{URL: s.URL(w.repo), Ref: reference{Branch: "main"}, Proxy: p.secret(proxyPassword),
		Secret: sshSecret(t, s, nil)}
	w.fetcher.holds(t, w.fetch(req, nil), map[string]string{"a": "1"})
	if p.used.Load() != 1 {
		t.Errorf("%d connections through the proxy, want 1", p.used.Load())
	}
	req.Proxy["address"] = "http://proxy.example:3128"
	w.fails(req, source.ErrRequest, "socks5://")
}

// TestProxy_policy has a tenant that names a proxy, and asks it for what the hub's policy denies.
func TestProxy_policy(t *testing.T) {
	w, p := newWorld(t, gittest.Options{}), newHTTPProxy(t, false)
	secret := sshSecret(t, startSSH(t, w), nil)
	closed := newFetcher(t.TempDir())
	closed.network = dial.Policy{}
	for name, c := range map[string]struct {
		address, url string
	}{
		"proxy_on_loopback":      {p.address, "http://192.0.2.1/x.git"},
		"target_on_loopback":     {"http://192.0.2.1:3128", w.repo.URL()},
		"target_metadata":        {"http://192.0.2.1:3128", "http://169.254.169.254/x.git"},
		"ssh_proxy_on_loopback":  {strings.Replace(p.address, "http", "socks5", 1), "ssh://git@192.0.2.1/x.git"},
		"ssh_target_on_loopback": {"socks5://192.0.2.1", "ssh://git@127.0.0.1/x.git"},
	} {
		t.Run(name, func(t *testing.T) {
			req := request{URL: c.url, Proxy: map[string]string{"address": c.address}}
			if strings.HasPrefix(c.url, "ssh") {
				req.Secret = secret
			}
			(&world{T: t, fetcher: closed}).fails(req, dial.ErrDenied, "--allow-source-address")
		})
	}
	if p.used.Load() != 0 {
		t.Error("the proxy was used")
	}
	open := newFetcher(t.TempDir())
	for name, c := range map[string]struct{ address, text string }{
		"missing":  {"", "address is missing"},
		"scheme":   {"ftp://proxy.example", "unknown scheme"},
		"no_URL":   {"proxy.example:3128", "socks5://host:port"},
		"password": {"http://u:" + proxyPassword + "@proxy.example", "credentials in it"},
	} {
		t.Run(name, func(t *testing.T) {
			req := request{URL: w.repo.URL(), Proxy: map[string]string{"address": c.address}}
			(&world{T: t, fetcher: open}).fails(req, source.ErrAuthentication, "spec.proxySecretRef", c.text)
		})
	}
}
