package e2e_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/hub/operatorconfig"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// Every admin call is for operators of this hub: not for strangers, not for another hub's operators, not for spokes.
// And what spokes call is not for operators.
func TestAdminCallers(t *testing.T) {
	needsLab(t)
	ctx := t.Context()
	fleet, other := newFleet(t), newFleet(t)
	_, err := fleet.Join(ctx, lab.Clusters[0])
	must(t, err)
	t.Cleanup(func() { must(t, clean(context.Background(), lab.Clusters[0])) })

	hub := contextOf(t, fleet)
	address, operator := hub.Hub, tlsOf(t, hub)
	nobody := operator.Clone()
	nobody.Certificates, nobody.GetClientCertificate = nil, nil
	foreign := operator.Clone()
	foreign.Certificates, foreign.GetClientCertificate = nil, presenting(tlsOf(t, contextOf(t, other)))
	cluster := operator.Clone()
	cluster.Certificates, cluster.GetClientCertificate = nil,
		presenting(&tls.Config{Certificates: []tls.Certificate{spokeCertificate(t)}})

	admin, spokes := methodsOf(adminv1.AdminService_ServiceDesc), methodsOf(spokev1.SpokeService_ServiceDesc)
	for _, tt := range []struct {
		name    string
		who     *tls.Config
		methods []string
		want    []codes.Code
	}{
		{"nobody", nobody, append(admin, spokes...), []codes.Code{codes.Unauthenticated}},
		{"another hub's operator", foreign, append(admin, spokes...), []codes.Code{codes.Unavailable, codes.Unauthenticated}},
		{"a spoke", cluster, admin, []codes.Code{codes.PermissionDenied}},
		{"an operator where spokes go", operator, spokes, []codes.Code{codes.PermissionDenied}},
	} {
		for _, method := range tt.methods {
			if got := call(ctx, t, address, tt.who, method); !oneOf(got, tt.want) {
				t.Errorf("%s calls %s: %s, want one of %v", tt.name, method, got, tt.want)
			}
		}
	}
	for _, method := range admin {
		if got := call(ctx, t, address, operator, method); oneOf(got,
			[]codes.Code{codes.PermissionDenied, codes.Unauthenticated, codes.Unavailable}) {
			t.Errorf("an operator is refused %s: %s", method, got)
		}
	}
}

// The tool says whose hub it met when that is not the one its certificate is for.
func TestForeignHub(t *testing.T) {
	needsLab(t)
	fleet, other := newFleet(t), newFleet(t)
	config, err := operatorconfig.Load(fleet.Config())
	must(t, err)
	foreign, err := operatorconfig.Load(other.Config())
	must(t, err)
	config.Contexts[0].ClientCertificateData, config.Contexts[0].ClientKeyData = foreign.Contexts[0].ClientCertificateData,
		foreign.Contexts[0].ClientKeyData
	path := t.TempDir() + "/config"
	must(t, config.Save(path))
	for _, args := range [][]string{{"get", "clusters"}, {"cluster", "add", "east"}, {"delete", "fleet", "all"},
		{"version"}} {
		out, err := fleet.Nave(t.Context(), append([]string{"--config=" + path, "--timeout=10s"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), "verify the hub: the server is spiffe://") {
			t.Errorf("nave %s: %q, %v: want to hear whose hub that is", strings.Join(args, " "), out, err)
		}
	}
	if out, err := fleet.Nave(t.Context(), "get", "clusters"); err != nil {
		t.Errorf("with its own: %s, %v", out, err)
	}
}

func newFleet(t *testing.T) *harness.Fleet {
	t.Helper()
	f, err := lab.NewFleet(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return f
}

func contextOf(t *testing.T, f *harness.Fleet) *operatorconfig.Context {
	t.Helper()
	config, err := operatorconfig.Load(f.Config())
	must(t, err)
	c, err := config.Context("")
	must(t, err)
	return c
}

func tlsOf(t *testing.T, c *operatorconfig.Context) *tls.Config {
	t.Helper()
	config, err := c.TLS()
	must(t, err)
	return config
}

// presenting shows a certificate whatever authorities the server names.
func presenting(from *tls.Config) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if len(from.Certificates) > 0 {
			return &from.Certificates[0], nil
		}
		return from.GetClientCertificate(request)
	}
}

// spokeCertificate is what the spoke of the first cluster has been given.
func spokeCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	var pair tls.Certificate
	must(t, until(t.Context(), func() error {
		o, err := lab.Clusters[0].Get(t.Context(), "Secret", ours, "nave-spoke-identity")
		if err != nil {
			return err
		}
		data, _ := o.Object["data"].(map[string]any)
		text := func(entry string) []byte {
			s, _ := data[entry].(string)
			b, _ := base64.StdEncoding.DecodeString(s)
			return b
		}
		pair, err = tls.X509KeyPair(text("tls.crt"), text("tls.key"))
		return err
	}))
	return pair
}

func methodsOf(service grpc.ServiceDesc) []string {
	var methods []string
	for _, m := range service.Methods {
		methods = append(methods, "/"+service.ServiceName+"/"+m.MethodName)
	}
	for _, s := range service.Streams {
		methods = append(methods, "/"+service.ServiceName+"/"+s.StreamName)
	}
	return methods
}

// call makes a call of any kind with an empty request, and returns the code of its answer.
func call(ctx context.Context, t *testing.T, address string, who *tls.Config, method string) codes.Code {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(who)))
	must(t, err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err == nil {
		if err = stream.SendMsg(&emptypb.Empty{}); err == nil || errors.Is(err, io.EOF) {
			_ = stream.CloseSend()
			err = stream.RecvMsg(&emptypb.Empty{})
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return status.Code(err)
}

func oneOf(code codes.Code, of []codes.Code) bool {
	for _, c := range of {
		if c == code {
			return true
		}
	}
	return false
}
