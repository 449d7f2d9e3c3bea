package kube

import (
	"context"
	"net/http"
	"net/url"
	"testing"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// unlimited is a rate limiter that never waits.
type unlimited struct{}

func (unlimited) TryAccept() bool            { return true }
func (unlimited) Accept()                    {}
func (unlimited) Stop()                      {}
func (unlimited) QPS() float32               { return 0 }
func (unlimited) Wait(context.Context) error { return nil }

func mustURL(t *testing.T) *url.URL {
	t.Helper()
	u, err := url.Parse("https://kubernetes.invalid")
	if err != nil {
		t.Fatal(err)
	}
	return u
}
