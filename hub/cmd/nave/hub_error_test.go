package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// TestMessage_tooOld says that the hub is too old if it does not know a call.
func TestMessage_tooOld(t *testing.T) {
	got := message(fmt.Errorf("history: %w", status.Error(codes.Unimplemented, "no such method")))
	if got != "the hub is too old for this command: upgrade it: no such method" {
		t.Error(got)
	}
}

// TestMessage_otherServer calls servers that are no hub. The text of gRPC tells them from a hub that is too old.
func TestMessage_otherServer(t *testing.T) {
	for _, code := range []int{http.StatusOK, http.StatusNotFound, http.StatusForbidden, http.StatusBadGateway} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(code)
		}))
		server.EnableHTTP2 = true
		server.StartTLS()
		t.Cleanup(server.Close)
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		conn, err := grpc.NewClient(server.Listener.Addr().String(),
			grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(roots, "example.com")))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_, err = adminv1.NewAdminServiceClient(conn).History(t.Context(), &adminv1.HistoryRequest{})
		err = fmt.Errorf("history: %w", err)
		if got := message(err); isTooOld(err) || !strings.Contains(got, "is not a hub, or is a proxy") {
			t.Errorf("%d: %s", code, got)
		}
		if reason := unanswered(err); reason != "" {
			t.Errorf("%d: the spoke gets the blame: %s", code, reason)
		}
	}
}

// failing is a hub whose calls fail.
type failing struct {
	adminv1.AdminServiceClient
	err error
}

func (f failing) Shapes(context.Context, *adminv1.ShapesRequest, ...grpc.CallOption) (*adminv1.ShapesResponse, error) {
	return nil, f.err
}

// TestShapes_tooOld says that a hub that does not know the call is too old, and does not blame the hub for a proxy.
func TestShapes_tooOld(t *testing.T) {
	for text, want := range map[string]string{
		"unknown method Shapes":                                 "the hub is too old for",
		"unexpected HTTP status code received from server: 404": "is not a hub, or is a proxy",
	} {
		h := hubShapes{client: failing{err: status.Error(codes.Unimplemented, text)}}
		_, err := h.of(t.Context(), "c", []manifest.Digest{manifest.DigestOf([]byte("a"))})
		if err == nil || !strings.Contains(message(err), want) {
			t.Errorf("%s: %v", text, err)
		}
		err = pinError(status.Error(codes.Unimplemented, text))
		if !strings.Contains(message(err), want) {
			t.Errorf("pin: %s: %v", text, err)
		}
	}
}

// TestMessage_unreachable gives advice if the connection fails, and leaves other errors of a hub as they are.
func TestMessage_unreachable(t *testing.T) {
	for text, advice := range map[string]string{
		`connection error: desc = "refused"`: "see whether it runs", "error reading from server: EOF": "try again: ",
		`closing transport due to: connection error: desc = "EOF"`: "try again: ", "the hub is ending": "",
	} {
		got := message(status.Error(codes.Unavailable, text))
		if !strings.HasSuffix(got, text) || !strings.Contains(got, advice) || (got == text) != (advice == "") {
			t.Error(got)
		}
	}
}
