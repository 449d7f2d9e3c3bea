package dial

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// names is a resolver: what each name leads to, one answer after the other; the last one stays.
type names map[string][][]string

func (n names) resolve(_ context.Context, host string) ([]netip.Addr, error) {
	answers, ok := n[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(answers) > 1 {
		n[host] = answers[1:]
	}
	var found []netip.Addr
	for _, a := range answers[0] {
		found = append(found, netip.MustParseAddr(a))
	}
	return found, nil
}

// errSilent is the end of a connection that a test did not want to be made any further.
var errSilent = errors.New("nobody answers")

// dials notes what is dialled, and connects nowhere.
type dials struct {
	mu   sync.Mutex
	seen []string
}

func (d *dials) connect(_ context.Context, _, address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = append(d.seen, address)
	return nil, errSilent
}

// never fails the test when anything is dialled.
func never(t *testing.T) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, _, address string) (net.Conn, error) {
		t.Errorf("%s was dialled", address)
		return nil, errSilent
	}
}

func dialer(p Policy, n names, connect func(context.Context, string, string) (net.Conn, error)) *Dialer {
	d := New(p)
	d.resolve, d.connect = n.resolve, connect
	d.local = func() ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("10.9.9.9")}, nil
	}
	return d
}

func TestDenied(t *testing.T) {
	for name, host := range map[string]string{
		"loopback":                "127.0.0.1",
		"loopback_other":          "127.9.8.7",
		"loopback_6":              "::1",
		"unspecified":             "0.0.0.0",
		"this_network":            "0.1.2.3",
		"unspecified_6":           "::",
		"metadata":                "169.254.169.254",
		"link_local":              "169.254.0.1",
		"link_local_6":            "fe80::1",
		"link_local_zone":         "fe80::1%lo",
		"zone":                    "2001:db8::1%lo",
		"metadata_aws_6":          "fd00:ec2::254",
		"metadata_google_6":       "fd20:ce::254",
		"metadata_alibaba":        "100.100.100.200",
		"metadata_azure":          "168.63.129.16",
		"metadata_oracle":         "192.0.0.192",
		"multicast":               "224.0.0.1",
		"multicast_6":             "ff02::1",
		"broadcast":               "255.255.255.255",
		"own_machine":             "192.0.2.77",
		"own_machine_private":     "10.9.9.9",
		"mapped":                  "::ffff:127.0.0.1",
		"mapped_metadata":         "::ffff:169.254.169.254",
		"mapped_own_machine":      "::ffff:192.0.2.77",
		"mapped_zone":             "::ffff:192.0.2.1%lo",
		"compatible":              "::127.0.0.1",
		"translated":              "::ffff:0:127.0.0.1",
		"nat64":                   "64:ff9b::169.254.169.254",
		"nat64_local":             "64:ff9b:1::a9fe:a9fe",
		"6to4":                    "2002:7f00:1::",
		"6to4_metadata":           "2002:a9fe:a9fe::1",
		"teredo_server":           "2001:0:7f00:1::",
		"teredo_client":           "2001:0:c000:201::80ff:fffe", // 127.0.0.1, inverted
		"isatap":                  "2001:db8::5efe:127.0.0.1",
		"isatap_universal":        "2001:db8::200:5efe:169.254.169.254",
		"decimal":                 "2130706433", // a name to Go; some resolvers read it as 127.0.0.1
		"hexadecimal":             "0x7f.1",
		"name":                    "inside.example",
		"name_of_metadata":        "metadata.google.internal",
		"name_with_several":       "many.example",
		"localhost":               "localhost",
		"localhost_with_full_dot": "localhost.",
	} {
		n := names{
			"2130706433": {{"127.0.0.1"}}, "0x7f.1": {{"127.0.0.1"}}, "inside.example": {{"127.0.0.1"}},
			"metadata.google.internal": {{"169.254.169.254"}}, "many.example": {{"::1", "169.254.169.254", "::ffff:127.0.0.1"}},
			"localhost": {{"127.0.0.1", "::1"}}, "localhost.": {{"127.0.0.1", "::1"}},
		}
		t.Run(name, func(t *testing.T) {
			conn, err := dialer(Policy{}, n, never(t)).DialContext(t.Context(), "tcp", net.JoinHostPort(host, "443"))
			if conn != nil || !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "--allow-source-address") {
				t.Errorf("got %v, want ErrDenied", err)
			}
		})
	}
}

// TestDenied_local_unknown dials nothing if this machine's own addresses cannot be read.
func TestDenied_local_unknown(t *testing.T) {
	d := dialer(Policy{}, nil, never(t))
	d.local = func() ([]netip.Addr, error) { return nil, errSilent }
	if _, err := d.DialContext(t.Context(), "tcp", "8.8.8.8:443"); !errors.Is(err, errSilent) {
		t.Errorf("got %v", err)
	}
}

func TestAllowed(t *testing.T) {
	const private = "10.1.2.3"
	for name, c := range map[string]struct {
		policy Policy
		host   string
		want   string // addresses that are dialled
	}{
		"public":            {Policy{}, "192.0.2.1", "192.0.2.1:443"},
		"public_6":          {Policy{}, "2001:db8::1", "[2001:db8::1]:443"},
		"public_nat64":      {Policy{}, "64:ff9b::192.0.2.1", "[64:ff9b::c000:201]:443"},
		"mapped_is_4":       {Policy{}, "::ffff:192.0.2.1", "192.0.2.1:443"},
		"private":           {Policy{}, private, "10.1.2.3:443"},
		"private_6":         {Policy{}, "fd12::1", "[fd12::1]:443"},
		"name":              {Policy{}, "git.example", "192.0.2.1:443"},
		"some_of_a_name":    {Policy{}, "mixed.example", "192.0.2.1:443"},
		"all_of_a_name":     {Policy{}, "both.example", "[2001:db8::1]:443 192.0.2.1:443"},
		"opened_loopback":   {allow("127.0.0.0/8"), "127.0.0.1", "127.0.0.1:443"},
		"opened_mapped":     {allow("127.0.0.0/8"), "::ffff:127.0.0.1", "127.0.0.1:443"},
		"opened_single":     {allow("::1"), "::1", "[::1]:443"},
		"opened_private":    {Policy{DenyPrivate: true, Allow: allow("10.1.0.0/16").Allow}, private, "10.1.2.3:443"},
		"opened_own":        {allow("192.0.2.77"), "192.0.2.77", "192.0.2.77:443"},
		"not_that_far":      {allow("127.0.0.0/8"), "many.example", "127.0.0.1:443"},
		"no_more_than_some": {Policy{}, "hundred.example", strings.TrimSpace(strings.Repeat("192.0.2.1:443 ", maxAddresses))},
	} {
		t.Run(name, func(t *testing.T) {
			var seen dials
			_, err := dialer(c.policy, names{
				"git.example": {{"192.0.2.1"}}, "mixed.example": {{"127.0.0.1", "192.0.2.1", "fe80::1"}},
				"both.example": {{"2001:db8::1", "192.0.2.1"}}, "many.example": {{"169.254.169.254", "127.0.0.1", "::1"}},
				"hundred.example": {strings.Fields(strings.Repeat("192.0.2.1 ", 100))},
			}, seen.connect).DialContext(t.Context(), "tcp", net.JoinHostPort(c.host, "443"))
			if got := strings.Join(seen.seen, " "); got != c.want || !errors.Is(err, errSilent) {
				t.Errorf("dialled %s, want %s; %v", got, c.want, err)
			}
		})
	}
}

func allow(texts ...string) Policy {
	prefixes, err := ParsePrefixes(texts)
	if err != nil {
		panic(err)
	}
	return Policy{Allow: prefixes}
}

func TestDenyPrivate(t *testing.T) {
	for _, host := range []string{
		"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "198.18.0.1", "fd12::1", "fec0::1",
		"::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:c0a8:101::", "inside.example",
	} {
		t.Run(host, func(t *testing.T) {
			d := dialer(Policy{DenyPrivate: true}, names{"inside.example": {{"10.0.0.1"}}}, never(t))
			if _, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, "443")); !errors.Is(err, ErrDenied) {
				t.Errorf("got %v, want ErrDenied", err)
			}
		})
	}
}

// TestOwnListeners opens every range: the hub's own listeners stay closed.
func TestOwnListeners(t *testing.T) {
	policy := allow("0.0.0.0/0", "::/0")
	policy.Own = []string{"[::]:7443", "127.0.0.1:7480", "hub.example:443", "gone.example:443"}
	n := names{"hub.example": {{"192.0.2.9"}}, "alias.example": {{"192.0.2.9"}}}
	for address, own := range map[string]bool{
		"127.0.0.1:7443": true, "127.0.0.2:7443": true, "[::1]:7443": true, "10.9.9.9:7443": true,
		"[::ffff:10.9.9.9]:7443": true,
		"0.0.0.0:7443":           true, "[::]:7443": true, "127.0.0.1:7480": true, "0.0.0.0:7480": true, "hub.example:443": true,
		"alias.example:443": true,
		"192.0.2.9:443":     true, "[64:ff9b::192.0.2.9]:443": true,
		"127.0.0.1:443": false, "192.0.2.9:7443": false, "alias.example:80": false,
	} {
		t.Run(address, func(t *testing.T) {
			var seen dials
			_, err := dialer(policy, n, seen.connect).DialContext(t.Context(), "tcp", address)
			if own != errors.Is(err, ErrDenied) || own != (len(seen.seen) == 0) {
				t.Errorf("dialled %v: %v", seen.seen, err)
			}
		})
	}
}

// TestRebinding has a name that leads elsewhere when it is asked for again.
func TestRebinding(t *testing.T) {
	n := names{"git.example": {{"192.0.2.1"}, {"127.0.0.1"}}}
	var seen dials
	d := dialer(Policy{}, n, seen.connect)
	if _, err := d.DialContext(t.Context(), "tcp", "git.example:443"); !errors.Is(err, errSilent) ||
		seen.seen[0] != "192.0.2.1:443" {
		t.Errorf("dialled %v: %v", seen.seen, err)
	}
	if _, err := d.DialContext(t.Context(), "tcp", "git.example:443"); !errors.Is(err, ErrDenied) || len(seen.seen) != 1 {
		t.Errorf("dialled %v: %v", seen.seen, err)
	}
}

func TestUnresolved(t *testing.T) {
	var dns *net.DNSError
	for name, host := range map[string]string{"unknown": "gone.example", "without_address": "empty.example"} {
		t.Run(name, func(t *testing.T) {
			d := dialer(Policy{}, names{"empty.example": {{}}}, never(t))
			if _, err := d.DialContext(t.Context(), "tcp", host+":443"); !errors.As(err, &dns) || dns.Name != host {
				t.Errorf("got %v", err)
			}
		})
	}
	for name, address := range map[string]string{"no_host": ":443", "no_port": "git.example:", "no_colon": "git.example"} {
		t.Run(name, func(t *testing.T) {
			if _, err := dialer(Policy{}, nil, never(t)).DialContext(t.Context(), "tcp", address); !errors.Is(err, ErrDenied) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestRace has a name whose first address never answers.
func TestRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		d := dialer(Policy{}, names{"git.example": {{"2001:db8::1", "192.0.2.1"}}},
			func(ctx context.Context, _, address string) (net.Conn, error) {
				if address == "192.0.2.1:443" {
					return here, nil
				}
				<-ctx.Done()
				return nil, ctx.Err()
			})
		start := time.Now()
		conn, err := d.DialContext(t.Context(), "tcp", "git.example:443")
		if conn != here || err != nil || time.Since(start) != headStart {
			t.Errorf("%v, %v after %s", conn, err, time.Since(start))
		}
		d.resolve = names{"git.example": {{"2001:db8::1"}}}.resolve
		if _, err := d.DialContext(t.Context(), "tcp", "git.example:443"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// TestRedirect has a server on loopback, which is open, that redirects to one that is not.
func TestRedirect(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("http://metadata.example/latest", http.StatusFound))
	defer server.Close()
	d := New(allow("127.0.0.0/8"))
	d.resolve = names{"metadata.example": {{"169.254.169.254"}}}.resolve
	client := &http.Client{Transport: d.Transport(nil)}
	if _, err := client.Get(server.URL); !errors.Is(err, ErrDenied) {
		t.Errorf("got %v", err)
	}
}

// TestProxy has a proxy on loopback, which only the operator may name.
func TestProxy(t *testing.T) {
	asked := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.String()
		_, _ = io.WriteString(w, "by proxy")
	}))
	defer proxy.Close()
	n := names{"git.example": {{"192.0.2.1"}}, "inside.example": {{"169.254.169.254"}}}
	policy := Policy{Proxies: Proxies{HTTP: proxy.URL, No: "direct.example"}}
	d := New(policy)
	d.resolve = n.resolve
	client := &http.Client{Transport: d.Transport(nil)}
	for url, denied := range map[string]bool{
		"http://git.example/x": false, "http://only-the-proxy-knows.example/x": false,
		"http://inside.example/x": true, "http://169.254.169.254/x": true, "http://[::ffff:169.254.169.254]/x": true,
		proxy.URL + "/x": true,
	} {
		t.Run(url, func(t *testing.T) {
			res, err := client.Get(url)
			if denied != errors.Is(err, ErrDenied) {
				t.Fatalf("got %v", err)
			}
			if denied {
				return
			}
			_ = res.Body.Close()
			if got := <-asked; got != url {
				t.Errorf("the proxy was asked for %s", got)
			}
		})
	}
	t.Run("no_proxy", func(t *testing.T) {
		if _, err := client.Get("http://direct.example/x"); !isUnresolved(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("not_over_ssh", func(t *testing.T) {
		d := New(policy)
		d.connect = never(t)
		if _, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(proxy.URL, "http://")); !errors.Is(err, ErrDenied) {
			t.Errorf("got %v", err)
		}
	})
	if len(asked) > 0 {
		t.Errorf("the proxy was asked for %s, too", <-asked)
	}
}

func TestParsePrefixes(t *testing.T) {
	got, err := ParsePrefixes([]string{"10.1.0.0/16", "10.1.2.3", "::1", "fd00::/8"})
	if err != nil || len(got) != 4 || got[1].String() != "10.1.2.3/32" || got[2].String() != "::1/128" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "10.1.0.0/33", "host.example", "fe80::1%lo", "10.1"} {
		if _, err := ParsePrefixes([]string{bad}); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// FuzzRefusal has addresses in any form: one that leads to a denied IPv4 address is refused.
func FuzzRefusal(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add(netip.MustParseAddr("64:ff9b::127.0.0.1").AsSlice())
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		refused := Policy{}.refusal(a, nil) != ""
		for _, form := range forms(a) {
			if (form.IsLoopback() || form.IsLinkLocalUnicast() || form.IsMulticast() || form.IsUnspecified()) && !refused {
				t.Errorf("%s leads to %s and is not refused", a, form)
			}
		}
	})
}

// TestDenyByOperator denies ranges and names, in every way that an address can be asked for.
func TestDenyByOperator(t *testing.T) {
	deny, hosts, err := ParseDenied([]string{"203.0.113.0/24", "198.51.100.7", "Internal.Example.com."})
	if err != nil {
		t.Fatal(err)
	}
	policy := Policy{Deny: deny, DenyHosts: hosts, Allow: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/25")},
		Proxies: Proxies{HTTPS: "http://192.0.2.3:3128"}}
	resolver := names{"db.example.com": {{"203.0.113.9"}}, "a.internal.example.com": {{"192.0.2.1"}},
		"internal.example.com": {{"192.0.2.1"}}, "notinternal.example.com": {{"192.0.2.1"}}, "two.example.com": {{"203.0.113.9",
			"192.0.2.2"}}}
	for name, address := range map[string]string{
		"range":       "203.0.113.200:443",
		"allowed_too": "203.0.113.9:443",
		"single":      "198.51.100.7:22",
		"mapped":      "[::ffff:203.0.113.9]:443",
		"nat64":       "[64:ff9b::cb00:7109]:443",
		"by_name":     "db.example.com:443",
		"host":        "internal.example.com:443",
		"host_case":   "INTERNAL.example.com.:443",
		"below_host":  "a.internal.example.com:443",
		"unresolved":  "unknown.internal.example.com:443",
	} {
		t.Run(name, func(t *testing.T) {
			d := dialer(policy, resolver, never(t))
			_, err := d.DialContext(t.Context(), "tcp", address)
			if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "operator of this hub has denied") {
				t.Errorf("dialled: %v", err)
			}
			client := http.Client{Transport: d.Transport(nil)}
			if _, err := client.Get("https://" + address); !errors.Is(err, ErrDenied) {
				t.Errorf("asked of the operator's proxy: %v", err)
			}
			proxy := &url.URL{Scheme: "http", Host: "192.0.2.4:3128"}
			client.Transport = d.Through(proxy).Transport(nil)
			if _, err := client.Get("https://" + address); !errors.Is(err, ErrDenied) {
				t.Errorf("asked of a proxy: %v", err)
			}
			client.Transport = d.Through(&url.URL{Scheme: "http", Host: address}).Transport(nil)
			if _, err := client.Get("https://192.0.2.1"); !errors.Is(err, ErrDenied) {
				t.Errorf("as a proxy: %v", err)
			}
			if _, err := d.DialSOCKS(t.Context(), proxy, "tcp", address); !errors.Is(err, ErrDenied) {
				t.Errorf("asked of a SOCKS proxy: %v", err)
			}
		})
	}
	for host, want := range map[string]string{
		"notinternal.example.com": "192.0.2.1:443", "two.example.com": "192.0.2.2:443",
	} {
		var seen dials
		d := dialer(policy, resolver, seen.connect)
		if _, err := d.DialContext(t.Context(), "tcp", host+":443"); !errors.Is(err, errSilent) || seen.seen[0] != want {
			t.Errorf("%s: %v, dialled %v", host, err, seen.seen)
		}
	}
	for _, bad := range []string{"", "10.0.0.0/40", "10.0.0", "https://a", "a:443", "a_b"} {
		if _, _, err := ParseDenied([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
