package hub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	"github.com/navefleet/nave/shared/identity"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func startHub(t *testing.T) *Hub {
	t.Helper()
	return startHubWith(t, defaultConnections)
}

func startHubWith(t *testing.T, c connections) *Hub {
	t.Helper()
	h, err := New(t.Context(),
		Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", HTTPListen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler),
			connections: c},
	)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-ended)
	})
	return h
}

// credentialFor returns a credential for calls to the hub, with a certificate for id that from issues.
func (h *Hub) credentialFor(t *testing.T, from *identity.Authority, id identity.ID) *identity.Credential {
	t.Helper()
	key, err := identity.NewKey()
	must(t, err)
	chain, err := from.Issue(key.Public(), id, time.Hour, nil, nil)
	must(t, err)
	c := &identity.Credential{}
	c.Set(tls.Certificate{Certificate: chain, PrivateKey: key}, []*x509.Certificate{h.authority.Certificate()})
	return c
}

func (h *Hub) dial(t *testing.T, config *tls.Config) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(h.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithMaxHeaderListSize(1<<20))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// invoke calls a method by its path, as a stream so that any kind of method is served, and returns the status.
func invoke(t *testing.T, conn *grpc.ClientConn, path string) codes.Code {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, path)
	if err == nil {
		if err = stream.SendMsg(&emptypb.Empty{}); err == nil || errors.Is(err, io.EOF) {
			_ = stream.CloseSend()
			err = stream.RecvMsg(&emptypb.Empty{})
		}
	}
	return status.Code(err)
}

// paths are all methods that the server has.
func (h *Hub) paths() (paths []string) {
	for service, info := range h.grpc.GetServiceInfo() {
		for _, m := range info.Methods {
			paths = append(paths, "/"+service+"/"+m.Name)
		}
	}
	return paths
}

// TestEveryMethodIsRefused gets the methods from the server, so that it also checks methods that are added later.
func TestEveryMethodIsRefused(t *testing.T) {
	h := startHub(t)
	foreign, err := identity.LoadOrCreateAuthority(t.TempDir())
	must(t, err)
	ours := func(role, name string) identity.ID {
		return identity.ID{TrustDomain: h.authority.TrustDomain(), Role: role, Name: name}
	}
	hubID := identity.ID{TrustDomain: h.authority.TrustDomain()}
	callers := map[string]*grpc.ClientConn{
		"nobody":   h.dial(t, identity.PinnedClientTLS(h.authority.Pin())),
		"spoke":    h.dial(t, identity.ClientTLS(h.credentialFor(t, h.authority, ours(identity.Cluster, "a")), hubID)),
		"hub":      h.dial(t, identity.ClientTLS(h.credentialFor(t, h.authority, ours(identity.Hub, "hub")), hubID)),
		"operator": h.dial(t, identity.ClientTLS(h.credentialFor(t, h.authority, ours(identity.Operator, "admin")), hubID)),
		"foreign": h.dial(t, identity.ClientTLS(h.credentialFor(t, foreign,
			identity.ID{TrustDomain: foreign.TrustDomain(), Role: identity.Operator, Name: "admin"}), hubID)),
	}
	may := func(caller, path string) bool {
		switch {
		case path == registrationv1.RegistrationService_Register_FullMethodName:
			return caller != "foreign" // its handshake fails
		case caller == "nobody", caller == "foreign":
			return false
		case strings.HasPrefix(path, "/grpc.health.v1."):
			return true
		case caller == "operator":
			return strings.HasPrefix(path, "/nave.admin.v1.") || strings.HasPrefix(path, "/grpc.reflection.")
		}
		return caller == "spoke" && (strings.HasPrefix(path, "/nave.spoke.v1.") ||
			strings.HasPrefix(path, "/nave.registration.v1."))
	}
	paths := h.paths()
	if len(paths) < 20 {
		t.Fatalf("only %d methods", len(paths))
	}
	for caller, conn := range callers {
		for _, path := range paths {
			want := codes.PermissionDenied
			switch caller {
			case "nobody":
				want = codes.Unauthenticated
			case "foreign":
				want = codes.Unavailable // the handshake fails
			}
			got := invoke(t, conn, path)
			if !may(caller, path) && got != want {
				t.Errorf("%s calls %s: %v, want %v", caller, path, got, want)
			}
		}
	}
}

// malformed returns paths that name no method, but that lax code might take for path.
func malformed(path string) []string {
	service, method, _ := strings.Cut(path[1:], "/")
	return []string{
		service + "/" + method, // CVE-2026-33186
		"//" + service + "/" + method,
		"/" + service + "//" + method,
		path + "/",
		path + "/../" + method,
		path + "?",
		path + "%00",
		strings.ToUpper(path),
		"/" + service + "/",
		"/" + service,
		"/" + service + "/NoSuchMethod",
		"/x" + service + "/" + method,
	}
}

func TestMalformedPaths(t *testing.T) {
	h := startHub(t)
	domain := h.authority.TrustDomain()
	as := func(role string) *grpc.ClientConn {
		c := h.credentialFor(t, h.authority, identity.ID{TrustDomain: domain, Role: role, Name: "a"})
		return h.dial(t, identity.ClientTLS(c, identity.ID{TrustDomain: domain}))
	}
	for caller, conn := range map[string]*grpc.ClientConn{
		"nobody": h.dial(t, identity.PinnedClientTLS(h.authority.Pin())), "spoke": as(identity.Cluster),
		"operator": as(identity.Operator),
	} {
		for _, path := range h.paths() {
			for _, path := range append(malformed(path), "/no.such.Service/Method", "/") {
				got := invoke(t, conn, path)
				if got != codes.Unauthenticated && got != codes.Unimplemented &&
					(got != codes.PermissionDenied || caller == "nobody") {
					t.Errorf("%s calls %q: %v", caller, path, got)
				}
			}
		}
	}
}

func TestRuleOf(t *testing.T) {
	for path, want := range map[string]rule{
		"/nave.admin.v1.AdminService/Get":                    operators,
		"/nave.admin.v1.AdminService/AddedLater":             operators,
		"/nave.spoke.v1.SpokeService/Session":                clusters,
		"/nave.registration.v1.RegistrationService/Register": anyone,
		"/nave.registration.v1.RegistrationService/Renew":    clusters,
		"/nave.registration.v1.RegistrationService/Later":    nobody,
		"nave.registration.v1.RegistrationService/Register":  nobody,
		"/nave.admin.v1.AdminService/Get/x":                  nobody,
		"/nave.admin.v1.AdminService":                        nobody,
		"/nave.admin.v2.AdminService/Get":                    nobody,
		"":                                                   nobody,
	} {
		if got := ruleOf(path); got != want {
			t.Errorf("%q: %d, want %d", path, got, want)
		}
	}
}

func FuzzRuleOf(f *testing.F) {
	f.Add("/nave.admin.v1.AdminService/Get")
	f.Add("nave.registration.v1.RegistrationService/Register")
	f.Fuzz(func(t *testing.T, path string) {
		if ruleOf(path) == anyone && path != registrationv1.RegistrationService_Register_FullMethodName {
			t.Fatalf("%q is open", path)
		}
	})
}

func TestPanic(t *testing.T) {
	g := &guard{trustDomain: "x", log: slog.New(slog.DiscardHandler), requests: newRequests(prometheus.NewRegistry())}
	info := &grpc.UnaryServerInfo{FullMethod: registrationv1.RegistrationService_Register_FullMethodName}
	_, err := g.unary(t.Context(), nil, info, func(context.Context, any) (any, error) { panic("boom") })
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "boom") {
		t.Fatalf("got %v", err)
	}
}

func TestLargeRequest(t *testing.T) {
	h := startHub(t)
	conn := h.dial(t, identity.PinnedClientTLS(h.authority.Pin()))
	client := registrationv1.NewRegistrationServiceClient(conn)
	bomb := metadata.AppendToOutgoingContext(t.Context(), "x", strings.Repeat("x", 2*maxHeaders))
	if _, err := client.Register(bomb, &registrationv1.RegisterRequest{}); err == nil ||
		status.Code(err) == codes.InvalidArgument {
		t.Fatalf("headers: got %v", err)
	}
	_, err := client.Register(t.Context(), &registrationv1.RegisterRequest{Token: strings.Repeat("x", maxMessage+1)})
	if status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("message: got %v", err)
	}
}

func TestServerCertificate_renewed(t *testing.T) {
	h := startHub(t)
	serial := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", h.Addr().String(), identity.PinnedClientTLS(h.authority.Pin()))
		must(t, err)
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	must(t, h.renewCertificate())
	if serial() == first {
		t.Fatal("the old certificate is still served")
	}
	if left := time.Until(h.credential.RenewAt()); left < serverTTL/3 || left > serverTTL*2/3 {
		t.Fatalf("renewed in %s", left)
	}
}

func TestServerCertificate_names(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = listener.Close() }()
	h := &Hub{listener: listener, config: Config{Advertise: []string{"hub.example.com:443", "192.0.2.1:7443",
		"hub.example.com:80", "nonsense"}}}
	names, ips := h.serverNames()
	if strings.Join(names, " ") != "localhost hub.example.com" || len(ips) != 3 || !ips[2].Equal(net.IPv4(192, 0, 2, 1)) {
		t.Fatalf("names %v, addresses %v", names, ips)
	}
	if h.advertised() != "hub.example.com:443" || h.operatorAddress() != "hub.example.com:443" {
		t.Fatalf("advertised %s", h.advertised())
	}
	h.config.Advertise = nil
	if h.advertised() != listener.Addr().String() {
		t.Fatalf("advertised %s", h.advertised())
	}
}

// TestDenied records that a spoke calls what only operators may call.
func TestDenied(t *testing.T) {
	h := startHub(t)
	as := func(role, name string) adminv1.AdminServiceClient {
		id := identity.ID{TrustDomain: h.authority.TrustDomain(), Role: role, Name: name}
		return adminv1.NewAdminServiceClient(h.dial(t, identity.ClientTLS(h.credentialFor(t, h.authority, id),
			identity.ID{TrustDomain: id.TrustDomain})))
	}
	key := &adminv1.ObjectKey{Kind: "Cluster", Name: "other"}
	_, err := as(identity.Cluster, "east").Delete(t.Context(), &adminv1.DeleteRequest{Key: key})
	if status.Code(err) != codes.PermissionDenied {
		t.Fatalf("a spoke may delete: %v", err)
	}
	page, err := as(identity.Operator, "admin").ListAudit(t.Context(), &adminv1.ListAuditRequest{Denied: true})
	must(t, err)
	if e := page.GetEntries(); len(e) != 1 || !strings.HasSuffix(e[0].GetBy(), "/cluster/east") ||
		e[0].GetSerial() == "" || e[0].GetObjects()[0].GetKey().GetName() != "other" {
		t.Errorf("recorded: %v", e)
	}
}

// TestRevoked ends a watch of a real connection, and reads a revocation again after a restart.
func TestRevoked(t *testing.T) {
	dir := t.TempDir()
	start := func() (*Hub, func()) {
		h, err := New(t.Context(), Config{DataDir: dir, Listen: "127.0.0.1:0", HTTPListen: "127.0.0.1:0",
			Log: slog.New(slog.DiscardHandler), connections: defaultConnections})
		must(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- h.Run(ctx) }()
		return h, func() { cancel(); must(t, <-ended) }
	}
	h, stop := start()
	id := func(name string) identity.ID {
		return identity.ID{TrustDomain: h.authority.TrustDomain(), Role: identity.Operator, Name: name}
	}
	credential := h.credentialFor(t, h.authority, id("bob"))
	dial := func(c *identity.Credential) adminv1.AdminServiceClient {
		return adminv1.NewAdminServiceClient(h.dial(t, identity.ClientTLS(c, identity.ID{TrustDomain: id("").TrustDomain})))
	}
	bob, admin := dial(credential), dial(h.credentialFor(t, h.authority, id("admin")))
	watch, err := bob.Watch(t.Context(), &adminv1.WatchRequest{List: &adminv1.ListRequest{Kind: "Cluster"}})
	must(t, err)
	_, err = watch.Recv() // in sync
	must(t, err)
	all, err := admin.ListOperators(t.Context(), &adminv1.ListOperatorsRequest{})
	must(t, err)
	for _, o := range all.GetOperators() {
		if o.GetName() == "bob" {
			_, err = admin.RevokeCertificate(t.Context(),
				&adminv1.RevokeCertificateRequest{Serial: o.GetCertificates()[0].GetSerial()})
			must(t, err)
		}
	}
	if _, err = watch.Recv(); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "was revoked") {
		t.Errorf("the watch goes on: %v", err)
	}
	if _, err = bob.GetVersion(t.Context(), &adminv1.GetVersionRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the connection goes on: %v", err)
	}
	stop()
	h, stop = start()
	defer stop()
	_, err = dial(credential).GetVersion(t.Context(), &adminv1.GetVersionRequest{})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("after a restart: %v", err)
	}
}
